/** Lanes and leadership together, over the store in memory and on a clock that is moved by hand. */
import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Metric from "effect/Metric"
import * as Option from "effect/Option"
import * as Ref from "effect/Ref"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/testing/TestClock"
import { Dispatcher, MaintenanceOnly } from "../../src/Dispatcher.ts"
import { lanes as all } from "../../src/lanes/index.ts"
import type { Lane } from "../../src/lanes/Lane.ts"
import { Maintenance, type MaintenanceOptions } from "../../src/lanes/Maintenance.ts"
import type { Event } from "../../src/domain/Event.ts"
import type { JobId } from "../../src/domain/Job.ts"
import * as Job from "../../src/Job.ts"
import * as Lanekeeper from "../../src/Lanekeeper.ts"
import { LeaderElection } from "../../src/LeaderElection.ts"
import { isMaintained } from "../../src/maintained.ts"
import { layerMaintenanceOnly, layerMaintenanceOnlyBackground } from "../../src/roles/maintenance.ts"
import { Runtime } from "../../src/roles/Runtime.ts"
import { layerMemory } from "../../src/store/memory/index.ts"
import { Store, type Term, UnderTerm } from "../../src/store/Store.ts"
import { StoreConnections } from "../../src/StoreConnections.ts"
import { Wakeup } from "../../src/Wakeup.ts"
import { job, makeWorld } from "../store/suiteWorld.ts"
import { quietly } from "../support/quietly.ts"
import { dueEverywhere } from "./suite.ts"
import { steady, wakes } from "./world.ts"

/** Watches what lanes ask of their store: which moves, and under which term. */
const watched = Layer.effect(
  StoreConnections,
  Effect.gen(function* () {
    const store = yield* Store
    const calls = yield* Calls
    const told = (name: string) =>
      Effect.flatMap(UnderTerm, (term) => Ref.update(calls, (all) => [...all, { name, term }]))
    const telling: Store["Service"] = {
      ...store,
      promote: (options) => Effect.andThen(told("promote"), store.promote(options)),
      watch: (options) => Effect.andThen(told("watch"), store.watch(options))
    }
    return StoreConnections.opening(() => Effect.succeed(telling))
  })
)

interface Call {
  readonly name: string
  readonly term: Option.Option<Term>
}

class Calls extends Context.Service<Calls, Ref.Ref<ReadonlyArray<Call>>>()("lanekeeper/test/Calls") {
  static readonly layer = Layer.effect(this, Ref.make<ReadonlyArray<Call>>([]))
}

const ground = watched.pipe(
  Layer.provideMerge(Layer.mergeAll(Layer.fresh(layerMemory), Wakeup.layerLocal, Calls.layer)),
  Layer.merge(steady)
)

/** One process of the schema: its scope ends it. */
const process = Effect.fnUntraced(function* (options: MaintenanceOptions = {}, holder = "process") {
  const scope = yield* Scope.make()
  yield* Effect.addFinalizer(() => Scope.close(scope, Exit.void))
  const layer = layerMaintenanceOnly(options).pipe(Layer.provideMerge(LeaderElection.layerLease({ holder })))
  const services = yield* Layer.build(Layer.fresh(layer)).pipe(Scope.provide(scope))
  const end = Effect.gen(function* () {
    yield* TestClock.adjust("0 seconds")
    yield* Scope.close(scope, Exit.void)
  })
  return { ...Context.get(services, Runtime), end }
})

const test = (
  sentence: string,
  body: Effect.Effect<void, unknown, Store | Wakeup | StoreConnections | Calls | Scope.Scope>
) => it.effect(sentence, () => quietly(body).pipe(Effect.provide(ground)))

const lagOf = (name: string) =>
  Effect.map(Metric.snapshot, (metrics) => {
    const lag = metrics.find(({ attributes, id }) => id === "lanekeeper.lane.lag" && attributes?.["lane"] === name)
    return (lag?.state as { readonly value: number } | undefined)?.value
  })

const promotions = Effect.gen(function* () {
  const calls = yield* Ref.getAndSet(yield* Calls, [])
  return calls.filter(({ name }) => name === "promote")
})

describe("A maintenance-only process", () => {
  test(
    "recovers at start, before anything is due by a timer, and is ready then [LK-A8]",
    Effect.gen(function* () {
      const world = makeWorld(yield* Store, TestClock.adjust)
      const { ready, ...jobs } = yield* dueEverywhere(world)
      const { status } = yield* process()
      yield* world.isAt("ready", ready, ...Object.values(jobs))
      assert.strictEqual((yield* status).phase, "running")
    })
  )

  test(
    "moves what becomes due later, on the leader's timers [LK-A2, LK-C1]",
    Effect.gen(function* () {
      const { enqueue, isAt } = makeWorld(yield* Store, TestClock.adjust)
      yield* process()
      const [id] = yield* enqueue({ runIn: Duration.seconds(2) })
      yield* TestClock.adjust("1900 millis")
      yield* isAt("scheduled", id!)
      yield* TestClock.adjust("350 millis")
      yield* isAt("ready", id!)
    })
  )

  test(
    "runs lanes only while it leads, and names its term in all they do [LK-B3, LK-B4]",
    Effect.gen(function* () {
      yield* process({}, "first")
      yield* TestClock.adjust("100 millis")
      const second = yield* process({}, "second")
      yield* TestClock.adjust("10 seconds")
      const terms = new Set((yield* promotions).map(({ term }) => Option.getOrNull(term)))
      assert.deepStrictEqual([...terms], [1n])
      assert.deepStrictEqual((yield* second.status).term, Option.none())
    })
  )

  test(
    "hands over when it is stopped, and the next one goes on under the next term [LK-A4, LK-B1]",
    Effect.gen(function* () {
      const first = yield* process({}, "first")
      const second = yield* process({}, "second")
      yield* TestClock.adjust("1 second")
      yield* first.end
      yield* TestClock.adjust("600 millis")
      assert.deepStrictEqual((yield* second.status).term, Option.some(2n as Term))
      yield* promotions
      yield* TestClock.adjust("10 seconds")
      const after = yield* promotions
      assert.strictEqual(after.length, 40)
      assert.isTrue(after.every(({ term }) => Option.getOrNull(term) === 2n))
      const { holder } = yield* (yield* Store).leader
      assert.deepStrictEqual(holder, Option.some("second"))
    })
  )

  test(
    "is stopped with every fiber when its layer is closed: not one more statement [LK-A15]",
    Effect.gen(function* () {
      const { end, status } = yield* process()
      yield* TestClock.adjust("1 second")
      assert.isAbove((yield* promotions).length, 3)
      yield* end
      assert.strictEqual((yield* status).phase, "stopped")
      yield* TestClock.adjust("1 hour")
      assert.deepStrictEqual(yield* promotions, [])
      assert.deepStrictEqual((yield* (yield* Store).leader).holder, Option.none())
    })
  )

  test(
    "says how its lanes ran, to whoever asks here and to everybody through the store [LK-A10, LK-B8]",
    Effect.gen(function* () {
      const store = yield* Store
      const { status } = yield* process()
      yield* TestClock.adjust("13 seconds")
      const hasRun = (lane: Lane) => lane.class !== "hygiene" || Duration.toSeconds(lane.interval) <= 10
      const { lanes, term } = yield* status
      assert.deepStrictEqual(term, Option.some(1n as Term))
      assert.deepStrictEqual(
        lanes.map(({ failures, lastRun, lastSuccess, name }) => [
          name,
          Option.isSome(lastRun) && Option.isSome(lastSuccess),
          failures
        ]),
        all.map((lane) => [lane.name, hasRun(lane), 0])
      )
      assert.deepStrictEqual(
        (yield* store.laneRuns).map(({ lane }) => lane),
        all
          .filter(hasRun)
          .map(({ name }) => name)
          .toSorted()
      )
    })
  )

  test(
    "is known to maintain a second after it began to lead [LK-D10]",
    Effect.gen(function* () {
      const store = yield* Store
      yield* process()
      assert.isFalse(isMaintained(yield* store.laneRuns))
      yield* TestClock.adjust("1 second")
      assert.isTrue(isMaintained(yield* store.laneRuns))
    })
  )

  test(
    "tells the lag of a lane that was stopped by hand [LK-B8]",
    Effect.gen(function* () {
      const { enqueue } = makeWorld(yield* Store, TestClock.adjust)
      yield* process({ lanes: { promote: { interval: "1 hour" } } })
      yield* enqueue({ runIn: Duration.seconds(10) })
      yield* TestClock.adjust("71 seconds")
      assert.strictEqual(yield* lagOf("promote"), 61_000)
    }).pipe(Effect.provideService(Metric.MetricRegistry, new Map()))
  )

  test(
    "tells how late the rescue of a vanished worker is, from when it was stale [LK-B8]",
    Effect.gen(function* () {
      const { running } = makeWorld(yield* Store, TestClock.adjust)
      yield* process({ staleAfter: "30 seconds", lanes: { "rescue-stale": { interval: "1 hour" } } })
      yield* running()
      yield* TestClock.adjust("26 seconds")
      assert.strictEqual(yield* lagOf("rescue-stale"), 0)
      yield* TestClock.adjust("75 seconds")
      assert.strictEqual(yield* lagOf("rescue-stale"), 71_000)
    }).pipe(Effect.provideService(Metric.MetricRegistry, new Map()))
  )

  it.effect("says at start when a worker is given up, and whose jobs it rescued and why [LK-C2]", () => {
    const said = new Map<string, unknown>()
    const logger = Logger.make(({ message }) => {
      const [sentence, fields] = Array.isArray(message) ? message : [message]
      said.set(String(sentence), fields)
    })
    return Effect.gen(function* () {
      const { running } = makeWorld(yield* Store, TestClock.adjust)
      yield* process({ heartbeat: "2 seconds", staleAfter: "20 seconds" })
      assert.deepStrictEqual(said.get("Started"), { heartbeat: "2s", staleAfter: "20s", watch: "10s" })
      const { worker } = yield* running()
      yield* TestClock.adjust("30 seconds")
      const { silent, ...fields } = said.get("Rescued jobs of a vanished worker") as { readonly silent: string }
      assert.deepStrictEqual(fields, { worker: String(worker), name: "runner", ready: 1 })
      assert.match(silent, /^2[0-9]s/)
    }).pipe(Effect.provide(Layer.merge(ground, Logger.layer([logger]))))
  })

  test(
    "gives up a worker in threshold and interval, through changes of leader every 10 seconds [LK-C2, LK-C3]",
    Effect.gen(function* () {
      const { isAt, running } = makeWorld(yield* Store, TestClock.adjust)
      let leader = yield* process({}, "leader 0")
      yield* TestClock.adjust("1 second")
      const { id } = yield* running()
      for (let n = 1; n <= 3; n++) {
        yield* TestClock.adjust("9 seconds")
        yield* leader.end
        leader = yield* process({}, `leader ${n}`)
        yield* TestClock.adjust("600 millis")
      }
      yield* isAt("running", id)
      yield* TestClock.adjust("7 seconds")
      yield* isAt("ready", id)
    })
  )

  test(
    "fails to start with one sentence when recovery fails, and runs nothing [LK-A8, LK-A14]",
    Effect.gen(function* () {
      const store = yield* Store
      const broken = { ...store, watch: () => Effect.die(new Error("no such table: watch")) }
      const built = yield* Effect.forkScoped(Effect.exit(Effect.provideService(process(), Store, broken)))
      yield* TestClock.adjust("1 minute")
      const exit = yield* Fiber.join(built)
      assert.include(String(exit), "The recovery at start failed in rescue-stale (Error: no such table: watch)")
      assert.deepStrictEqual(yield* promotions, [])
    })
  )

  test(
    "is built at once in the background, and starts when the store lets it [LK-A8, LK-A15]",
    Effect.gen(function* () {
      const store = yield* Store
      const away = yield* Ref.make(true)
      const watch: Store["Service"]["watch"] = (options) =>
        Effect.flatMap(Ref.get(away), (isAway) => (isAway ? Effect.die(new Error("away")) : store.watch(options)))
      const layer = layerMaintenanceOnlyBackground().pipe(Layer.provideMerge(LeaderElection.layerLease()))
      const services = yield* Effect.provideService(Layer.build(layer), Store, { ...store, watch })
      const { status } = Context.get(services, Runtime)
      yield* TestClock.adjust("10 minutes")
      assert.strictEqual((yield* status).phase, "starting")
      yield* Ref.set(away, false)
      yield* TestClock.adjust("31 seconds")
      assert.strictEqual((yield* status).phase, "running")
      yield* TestClock.adjust("0 seconds")
    })
  )

  test(
    "is built once, in however many places its layer is provided, and recovers once [LK-A7]",
    Effect.gen(function* () {
      const layer = layerMaintenanceOnly().pipe(Layer.provide(LeaderElection.layerLease()))
      const one = Layer.effectDiscard(Effect.asVoid(Runtime))
      yield* Layer.build(Layer.mergeAll(one, Layer.fresh(one)).pipe(Layer.provide(layer)))
      yield* TestClock.adjust("1 second")
      const calls = yield* Ref.get(yield* Calls)
      assert.strictEqual(calls.filter(({ name }) => name === "watch").length, 1)
      yield* TestClock.adjust("0 seconds")
    })
  )

  test(
    "claims nothing: a ready job stands while everything else moves, without a dispatcher to ask [LK-A2]",
    Effect.gen(function* () {
      const store = yield* Store
      const spied = yield* Layer.build(MaintenanceOnly)
      const fiber = yield* Effect.forkScoped(Context.get(spied, Dispatcher).run(Deferred.makeUnsafe()))
      const [ready] = yield* store.enqueue([job()])
      const claims = yield* Ref.make(0)
      const claim: Store["Service"]["claim"] = (options) =>
        Effect.andThen(
          Ref.update(claims, (n) => n + 1),
          store.claim(options)
        )
      yield* Effect.provideService(process(), Store, { ...store, claim })
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(yield* store.place(ready!), Option.some("ready"))
      assert.strictEqual(yield* Ref.get(claims), 0)
      assert.isUndefined(fiber.pollUnsafe())
    })
  )
})

describe("Events", () => {
  const process = Effect.fnUntraced(function* (holder: string, sink: Layer.Layer<never> = Layer.empty) {
    const election = LeaderElection.layerLease({ holder })
    const services = yield* Layer.build(
      Layer.fresh(layerMaintenanceOnly().pipe(Layer.provide(sink), Layer.provide(election)))
    )
    return Context.get(services, Runtime)
  })

  test(
    "reach the sink of a process that does not lead, when the leader has none [LK-D8]",
    Effect.gen(function* () {
      const { dead } = makeWorld(yield* Store, TestClock.adjust)
      const delivered: Array<JobId> = []
      const deliver = (events: ReadonlyArray<Event>) =>
        Effect.sync(() => void delivered.push(...events.map(({ job }) => job)))
      yield* process("leader")
      const { status } = yield* process("follower", Lanekeeper.layerEvents({ deliver }))
      const ids = [yield* dead(), yield* dead()]
      yield* TestClock.adjust("5 seconds")
      assert.deepStrictEqual((yield* status).term, Option.none())
      assert.deepStrictEqual(delivered, ids)
    })
  )

  test(
    "hold up the end of a process for its grace at most, when the sink hangs [LK-A10]",
    Effect.gen(function* () {
      const { dead } = makeWorld(yield* Store, TestClock.adjust)
      const taken = yield* Deferred.make<void>()
      const deliver = () => Effect.andThen(Deferred.succeed(taken, undefined), Effect.never)
      yield* process("leader")
      const { shutdown } = yield* process("follower", Lanekeeper.layerEvents({ deliver }))
      yield* dead()
      yield* TestClock.adjust("3 seconds")
      yield* Deferred.await(taken)
      const fiber = yield* Effect.forkScoped(shutdown)
      yield* TestClock.adjust("9 seconds")
      assert.isUndefined(fiber.pollUnsafe())
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(fiber)
    })
  )

  test(
    "are delivered once by a leader that has a sink, and a follow-up needs no code where it is enqueued [LK-C7, LK-D8]",
    Effect.gen(function* () {
      const store = yield* Store
      const Alarm = Job.make("alarm", { payload: Job.FollowUp, queue: "alarms" })
      const Pay = Job.make("pay", { payload: {}, queue: "post", onRescue: Alarm })
      const { id } = yield* Effect.provide(Pay.enqueue({}), Lanekeeper.layerClient)
      const { declareDead, register } = makeWorld(store, TestClock.adjust)
      const worker = yield* register
      yield* store.claim({ worker, kinds: ["pay"], queues: [{ queue: "post", limit: 1 }] })
      yield* declareDead(worker)
      const types: Array<string> = []
      const deliver = (events: ReadonlyArray<Event>) =>
        Effect.sync(() => void types.push(...events.map(({ type }) => type)))
      yield* process("leader", Lanekeeper.layerEvents({ deliver }))
      yield* TestClock.adjust("5 seconds")
      assert.deepStrictEqual(types, ["rescued"])
      const [followUp] = yield* store.page({ place: "ready", queue: "alarms", limit: 2 })
      assert.deepInclude(followUp!.payload as object, { type: "rescued", job: id, rescues: 1 })
    })
  )
})

describe("Maintenance", () => {
  test(
    "asks little of an idle database: about eight statements a second, with the ping of its lock [LK-F10]",
    Effect.gen(function* () {
      let calls = 0
      const counting = new Proxy(yield* Store, {
        get: (store, name, receiver) => {
          calls++
          return Reflect.get(store, name, receiver)
        }
      })
      const layer = Maintenance.layer().pipe(
        Layer.provide(LeaderElection.layerLease()),
        Layer.provide(
          Layer.succeed(
            StoreConnections,
            StoreConnections.opening(() => Effect.succeed(counting))
          )
        )
      )
      const { run } = Context.get(yield* Layer.build(layer), Maintenance)
      yield* Effect.forkScoped(run(yield* Deferred.make<void>()))
      yield* TestClock.adjust("60 seconds")
      assert.isAbove(calls, 60 * 4)
      assert.isBelow(calls + 60, 60 * 8.75)
    })
  )

  test(
    "goes on when what it stands on dies [LK-A12]",
    Effect.gen(function* () {
      const dies = yield* Ref.make(true)
      const { wakeup, woken } = yield* wakes
      const store = yield* Store
      const open = () =>
        Effect.flatMap(Ref.getAndSet(dies, false), (now) => (now ? Effect.die(new Error("no")) : Effect.succeed(store)))
      const layer = Maintenance.layer().pipe(
        Layer.provide(LeaderElection.layerLease()),
        Layer.provide(Layer.succeed(StoreConnections, StoreConnections.opening(open))),
        Layer.provide(Layer.succeed(Wakeup, wakeup))
      )
      const { run } = Context.get(yield* Layer.build(layer), Maintenance)
      yield* Effect.forkScoped(run(yield* Deferred.make<void>()))
      yield* store.enqueue([job({ runIn: Duration.seconds(5) })])
      yield* TestClock.adjust("6 seconds")
      assert.deepStrictEqual(yield* woken, ["post"])
    })
  )

  /** Lanes over a store that answers promote as told. */
  const maintaining = Effect.fnUntraced(function* (
    promote: Store["Service"]["promote"],
    options: MaintenanceOptions = {}
  ) {
    const store = { ...(yield* Store), promote }
    const layer = Maintenance.layer(options).pipe(
      Layer.provideMerge(LeaderElection.layerLease()),
      Layer.provide(
        Layer.succeed(
          StoreConnections,
          StoreConnections.opening(() => Effect.succeed(store))
        )
      )
    )
    const services = yield* Layer.build(layer)
    const stopping = yield* Deferred.make<void>()
    const fiber = yield* Effect.forkScoped(Context.get(services, Maintenance).run(stopping))
    yield* TestClock.adjust("1 millis")
    return { fiber, stopping, election: Context.get(services, LeaderElection) }
  })
  const nothing = { ready: 0, scheduled: 0, dead: 0, cancelled: 0, queues: [] }

  test(
    "lets a statement finish within the grace, then gives up the lead, then ends [LK-A10]",
    Effect.gen(function* () {
      const finished = yield* Ref.make(0)
      const slow = () =>
        Effect.andThen(
          Effect.sleep("5 seconds"),
          Effect.as(
            Ref.update(finished, (n) => n + 1),
            nothing
          )
        )
      const { election, fiber, stopping } = yield* maintaining(slow)
      yield* Deferred.succeed(stopping, undefined)
      yield* TestClock.adjust("4 seconds")
      assert.isTrue(Option.isSome(yield* election.term))
      assert.isUndefined(fiber.pollUnsafe())
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(fiber)
      assert.strictEqual(yield* Ref.get(finished), 1)
      assert.deepStrictEqual((yield* (yield* Store).leader).holder, Option.none())
    })
  )

  test(
    "interrupts what has not finished when the grace is over [LK-A10]",
    Effect.gen(function* () {
      const interrupted = yield* Ref.make(false)
      const hanging = () => Effect.onInterrupt(Effect.never, () => Ref.set(interrupted, true))
      const { fiber, stopping } = yield* maintaining(hanging, { grace: "3 seconds" })
      yield* Deferred.succeed(stopping, undefined)
      yield* TestClock.adjust("2 seconds")
      assert.isUndefined(fiber.pollUnsafe())
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(fiber)
      assert.isTrue(yield* Ref.get(interrupted))
    })
  )

  test(
    "wakes the queues that lanes moved jobs into [LK-C1]",
    Effect.gen(function* () {
      const { wakeup, woken } = yield* wakes
      const once = yield* Ref.make(true)
      const promote = () =>
        Effect.map(Ref.getAndSet(once, false), (first) =>
          first ? { ...nothing, ready: 2, queues: ["a", "b"] } : nothing
        )
      yield* Effect.provideService(maintaining(promote), Wakeup, wakeup)
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(yield* woken, ["a", "b"])
    })
  )
})
