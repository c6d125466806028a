/**
 * One worker, from its first claim to its last word.
 *
 * It ends in stages: nothing more is claimed, running attempts are told, waited for and interrupted, and what is not
 * finished is given back, so that a peer has it at once.
 */
import * as Deferred from "effect/Deferred"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as FiberSet from "effect/FiberSet"
import * as Option from "effect/Option"
import * as PubSub from "effect/PubSub"
import * as Schedule from "effect/Schedule"
import type { SqlError } from "effect/sql/SqlError"
import { rootMessage } from "../store/postgres/DatabaseError.ts"
import { publisher } from "../JobEvents.ts"
import * as Middleware from "../Middleware.ts"
import { type About, type Claimed, type LeaseId, Store, type WorkerId } from "../store/Store.ts"
import { StoreConnections } from "../StoreConnections.ts"
import { type Poke, Wakeup } from "../Wakeup.ts"
import * as Attempts from "./Attempts.ts"
import { claiming } from "./claiming.ts"
import { heartbeat } from "./heartbeat.ts"
import { Notebook } from "./Notebook.ts"
import { Outcomes } from "./Outcomes.ts"
import { patienceOf, patient } from "./patient.ts"
import { Pulse } from "./Pulse.ts"
import { longestHeld, Rooms } from "./Rooms.ts"
import type { Settings } from "./Settings.ts"
import { watchEventLoop, watchUnhandled } from "./watching.ts"

const soon = "3 millis" // a few more places may be free by then

export const connections = 3 // a claim, what came of others, a beat: none waits for another

const budget = {
  name: "lanekeeper worker",
  connections,
  lockTimeout: Duration.seconds(2) // short of when a statement is given up: it must be known that somebody keeps a row
}

const lastWords = "10 seconds" // to run finalizers and to write what came of attempts, when the time to finish is over

const again = Schedule.min([Schedule.exponential("50 millis", 2), Schedule.spaced("2 seconds")])

const nobody = 0n as WorkerId // numbers of workers begin at 1

/** How workers are known to be alive, the same for all of a schema. */
export interface Liveness {
  readonly heartbeat: Duration.Duration
  readonly staleAfter: Duration.Duration
  readonly crashBudget: number
  /** What others are told of this process. */
  readonly about?: About | undefined
}

export const dispatch = Effect.fnUntraced(function* (
  settings: Settings,
  liveness: Liveness,
  stopping: Deferred.Deferred<void>
) {
  const wakeup = yield* Wakeup
  const clock = yield* Clock.Clock
  const statementTimeout = patienceOf(liveness.heartbeat)
  const stores = yield* StoreConnections
  const opened = yield* Effect.orDie(stores.open({ ...budget, statementTimeout }))
  yield* stores.lend(opened) // handlers may hold all of the process's own
  const store = patient(opened, statementTimeout)
  const fork = yield* FiberSet.makeRuntime<never>()
  const now = () => Number(clock.monotonicTimeNanosUnsafe() / 1_000_000n)

  const serves = { kinds: [...settings.handlers.keys()], queues: [...settings.queues.keys()] }
  const join = store.register(settings.name, serves, liveness.about).pipe(
    Effect.tapError((error) => Effect.logWarning("Could not join and will try again", { reason: rootMessage(error) })),
    Effect.retry(again),
    Effect.orDie,
    Effect.tap((worker) => Effect.logInfo("A worker joined", { worker, name: settings.name, ...serves }))
  )
  const pokes = yield* wakeup.pokes // before the first claim: what is said during it is not missed
  const joined = yield* Effect.raceFirst(Effect.asSome(join), Effect.as(Deferred.await(stopping), Option.none()))
  if (Option.isNone(joined)) return
  let worker: WorkerId = joined.value

  const pulse = new Pulse()
  const beat = new Pulse()
  const claims = { begun: 0, ended: 0 }
  const brinkFrom = Math.max(1, liveness.crashBudget - 1)
  const isOnBrink = ({ crashes }: Claimed) => crashes >= brinkFrom
  const mostUnwritten = Math.max(2_000, 2 * [...settings.queues.values()].reduce((sum, each) => sum + each, 0))

  const notebook = new Notebook({ store, worker: () => worker })
  const publish = yield* publisher
  /** Too many outcomes wait to be written: claiming goes on when fewer do, and not with the next poll. */
  let full = false
  const isFull = () => (full = outcomes.size > mostUnwritten)
  const outcomes = new Outcomes({
    store,
    worker: () => worker,
    wake: wakeup.poke,
    before: notebook.flush,
    publish,
    onWritten: () => {
      if (full && !isFull()) pulse.beat()
    }
  })
  const attempts = yield* Attempts.make({
    handlers: settings.handlers,
    store: yield* Store,
    worker: () => worker,
    note: (note) => notebook.write(note),
    around: (yield* Middleware.provided).attempt,
    publish,
    onEnd: (claimed, outcome) => {
      if (outcome !== undefined) outcomes.add(outcome)
      if (isOnBrink(claimed)) rooms.expect()
      rooms.end(claimed)
    }
  })

  let asking = false
  const askSoon = Effect.sync(() => {
    asking = false
    pulse.beat()
  }).pipe(Effect.delay(soon))
  const begin = Effect.fnUntraced(
    function* (leases: ReadonlyArray<LeaseId>) {
      const asked = worker
      const ours = yield* store.begin(asked, leases)
      rooms.begun(leases, new Set(asked === worker ? ours : []))
      if (rooms.closed) yield* giveBack()
    },
    (begun, leases) => begun.pipe(Effect.catch(() => Effect.sync(() => rooms.notBegun(leases))))
  )
  const rooms = new Rooms({
    queues: settings.queues,
    start: attempts.start,
    begin: (leases) => void fork(begin(leases)),
    ask: (when) => {
      if (when === "now") return pulse.beat()
      if (asking) return
      asking = true
      fork(askSoon)
    }
  })

  const unstarted = (jobs: ReadonlyArray<Claimed>) => {
    for (const claimed of jobs) {
      const { attempt, id, lease } = claimed
      outcomes.add({ id, lease, attempt, ran: Duration.zero, ending: { _tag: "Released" }, claimed })
    }
  }

  const release = (leases: ReadonlyArray<LeaseId>): Effect.Effect<void, SqlError> =>
    leases.length === 0
      ? Effect.void
      : Effect.flatMap(store.release(worker, leases), ({ queues }) => wakeup.poke(queues))

  /** To peers, unpaid: what is held, or what of it has not started for too long. What fails is found by a beat. */
  const giveBack = (now?: number) =>
    Effect.suspend(() => {
      const { begun, leases } = rooms.drop(now)
      unstarted(begun)
      return Effect.ignore(release(leases))
    })

  const rejoin = Effect.gen(function* () {
    attempts.loseAll()
    rooms.drop()
    outcomes.drop()
    notebook.drop()
    worker = nobody // what comes back now was asked for by the one that is dead
    worker = yield* join
    rooms.expect()
    pulse.beat()
  })

  const listen = (poke: Poke) => {
    if (poke === "beat" || poke === "any") beat.beat()
    if (poke !== "beat" && rooms.expect(poke === "any" ? undefined : poke.queue)) pulse.beat()
  }

  yield* Effect.forkScoped(Effect.forever(Effect.map(PubSub.takeAll(pokes), (some) => some.forEach(listen))))
  yield* Effect.forkScoped(outcomes.writing)
  yield* Effect.forkScoped(notebook.writing)
  yield* Effect.forkScoped(
    heartbeat({
      store,
      worker: () => worker,
      every: liveness.heartbeat,
      staleAfter: liveness.staleAfter,
      pulse: beat,
      claims,
      leases: () => new Set([...attempts.leases(), ...rooms.holding.map(({ lease }) => lease), ...outcomes.leases]),
      release: (jobs) => {
        attempts.release(jobs)
        unstarted(rooms.dropJobs(jobs))
      },
      lose: attempts.lose,
      unsure: () => {
        attempts.releaseAll()
        unstarted(rooms.drop().begun)
      },
      rejoin,
      wake: wakeup.poke
    })
  )
  yield* Effect.forkScoped(watchUnhandled(store, serves))
  yield* Effect.forkScoped(watchEventLoop(attempts.claimed))
  yield* Effect.forkScoped(
    Effect.repeat(
      Effect.suspend(() => giveBack(now())),
      Schedule.spaced(longestHeld)
    )
  )
  const claimer = yield* Effect.forkScoped(
    claiming({
      store,
      worker: () => worker,
      kinds: serves.kinds,
      rooms,
      pulse,
      pollInterval: settings.pollInterval,
      claims,
      brink: () => ({ from: brinkFrom, room: attempts.some(isOnBrink) || rooms.some(isOnBrink) ? 0 : 1 }),
      now,
      isFull
    })
  )

  /** A claim that is on its way arrives first, so that its jobs can be given back. */
  const stopClaiming = Effect.suspend(() => {
    rooms.closed = true
    return Effect.timeoutOption(Fiber.interrupt(claimer), lastWords)
  })

  const finish = Effect.gen(function* () {
    yield* Deferred.await(stopping)
    yield* Effect.logInfo("Stopping: nothing more is claimed", { running: attempts.size() })
    yield* stopClaiming
    yield* giveBack()
    yield* attempts.signal
    yield* Effect.timeoutOption(attempts.ended, settings.drain)
  })

  /** What cannot be interrupted is waited for, with the heart beating: nothing but its end makes its job a peer's. */
  const interruptAll = Effect.gen(function* () {
    attempts.releaseAll()
    if (Option.isSome(yield* Effect.timeoutOption(attempts.ended, lastWords))) return
    const kinds = [...new Set(attempts.claimed().map(({ kind }) => kind))]
    yield* Effect.logWarning("Handlers go on although they were interrupted: they are waited for", { kinds })
    yield* attempts.ended
  })

  const sayGoodbye = Effect.gen(function* () {
    yield* giveBack()
    yield* outcomes.written
    const { leases } = yield* store.beat(worker)
    yield* release(leases)
    yield* store.forget(worker)
  }).pipe(
    Effect.as(true),
    Effect.timeoutOrElse({
      duration: lastWords,
      orElse: () => Effect.as(Effect.logWarning("Left without having given back everything: it will be rescued"), false)
    }),
    Effect.catch((error) =>
      Effect.as(Effect.logWarning("Left without a word to the store", { reason: rootMessage(error) }), false)
    )
  )

  const leave = Effect.gen(function* () {
    yield* stopClaiming
    const interrupted = attempts.size()
    yield* interruptAll
    if (yield* sayGoodbye) yield* Effect.logInfo("A worker left", { worker, interrupted })
  })

  yield* Effect.ensuring(finish, leave)
}, Effect.scoped)
