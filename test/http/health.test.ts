/** What orchestrators and Prometheus are told of a role: by a real server, in this process and in one of its own. */
import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as HttpServer from "effect/http/HttpServer"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as Health from "../../src/http/health.ts"
import { lanes } from "../../src/lanes/index.ts"
import * as Lanekeeper from "../../src/Lanekeeper.ts"
import { Runtime, type Status } from "../../src/roles/Runtime.ts"
import { Store, type Term } from "../../src/store/Store.ts"
import { version } from "../../src/version.ts"
import { layerMeasured } from "../../src/Telemetry.ts"
import { job } from "../store/suiteWorld.ts"
import { main, run, start } from "../support/processes.ts"
import { eventually } from "../support/eventually.ts"
import { maintainerWith } from "../support/maintainer.ts"
import { makeNetwork } from "../support/network.ts"
import { enqueue, startWorker, test, untilSaid, workerApp } from "../support/workers.ts"
import { TestDatabase } from "../support/TestDatabase.ts"

const get = (url: string, path: string) =>
  Effect.promise(async () => {
    const response = await fetch(`${url}${path}`)
    return { status: response.status, body: await response.text() }
  })

const readiness = (url: string): Effect.Effect<Readonly<Record<string, unknown>>> =>
  Effect.map(get(url, "/readyz"), ({ body, status }) => ({ status, ...JSON.parse(body) }))

/** A role whose state and clock the test sets. */
const pretending = Effect.gen(function* () {
  const real = yield* Clock.Clock
  const told = { ahead: 0, phase: "running" as Status["phase"], term: undefined as bigint | undefined, succeeded: 0 }
  const now = () => real.currentTimeMillisUnsafe() + told.ahead
  const clock: Clock.Clock = Object.assign(Object.create(real), {
    currentTimeMillisUnsafe: now,
    currentTimeMillis: Effect.sync(now)
  })
  const status = Effect.sync((): Status => ({
    phase: told.phase,
    term: Option.map(Option.fromUndefinedOr(told.term), (term) => term as Term),
    lanes: lanes.map((lane) => ({
      name: lane.name,
      class: lane.class,
      lastRun: Option.none(),
      lastSuccess: told.succeeded === 0 ? Option.none() : Option.some(DateTime.makeUnsafe(told.succeeded)),
      failures: 0
    }))
  }))
  const runtime = Layer.succeed(Runtime, { status } as Runtime["Service"])
  const ground = Layer.merge(Lanekeeper.layerMemory, runtime)
  const context = yield* Layer.build(Health.layer({ port: 0 }).pipe(Layer.provide(ground))).pipe(
    Effect.provideService(Clock.Clock, clock)
  )
  const url = yield* Effect.provideContext(
    HttpServer.addressFormattedWith((address) => Effect.succeed(address)),
    context
  )
  return { told, now, url }
})

describe("Health", () => {
  it.live("is ready while the role runs, and not while it starts or stops [LK-K6]", () =>
    Effect.gen(function* () {
      const { told, url } = yield* pretending
      assert.deepStrictEqual(yield* get(url, "/healthz"), { status: 200, body: "alive\n" })
      const ready = { ready: true, reason: null, phase: "running", leading: null, late: [] }
      assert.deepStrictEqual(yield* readiness(url), { status: 200, ...ready })
      told.phase = "stopping"
      const reason = "It is stopping"
      assert.deepStrictEqual(yield* readiness(url), { status: 503, ...ready, ready: false, reason, phase: "stopping" })
      assert.strictEqual((yield* get(url, "/healthz")).status, 200)
      assert.strictEqual((yield* get(url, "/else")).status, 404)
    }).pipe(Effect.scoped)
  )

  it.live("is not ready while it leads and lanes that users wait for are late [LK-K6]", () =>
    Effect.gen(function* () {
      const { now, told, url } = yield* pretending
      told.term = 4n
      assert.deepStrictEqual(yield* readiness(url), {
        status: 200,
        ready: true,
        reason: null,
        phase: "running",
        leading: 4,
        late: []
      })
      told.ahead = 11_000 // nothing has succeeded since the term began
      const late = yield* readiness(url)
      assert.deepInclude(late, { status: 503, ready: false, leading: 4 })
      assert.include(JSON.stringify(late), '"promote"')
      assert.notInclude(JSON.stringify(late), "retention")
      told.succeeded = now()
      assert.deepInclude(yield* readiness(url), { status: 200 })
      told.ahead = 30_000
      assert.deepInclude(yield* readiness(url), { status: 503 })
      told.term = 5n // a new term begins its own time
      assert.deepInclude(yield* readiness(url), { status: 200 })
      told.ahead = 60_000
      told.term = undefined
      assert.deepInclude(yield* readiness(url), { status: 200 })
    }).pipe(Effect.scoped)
  )

  it.live(
    "shows the store's moves, and what anybody can tell of the whole, to Prometheus [LK-K6] [LK-L2] [LK-L1]",
    () =>
      Effect.gen(function* () {
        const ground = Layer.provideMerge(layerMeasured, Layer.fresh(Lanekeeper.layerMemory))
        const role = Lanekeeper.layerMaintenanceOnly().pipe(Layer.provideMerge(ground))
        const context = yield* Layer.build(Layer.provideMerge(Health.layer({ port: 0 }), role))
        const url = yield* Effect.provideContext(HttpServer.addressFormattedWith(Effect.succeed), context)
        const store = Context.get(context, Store)
        const [id] = yield* store.enqueue([job({ queue: "told" }), job({ queue: "told" })])
        yield* store.cancel(id!, "no")
        yield* store.cancel(id!, "again")
        yield* store.takeStats
        const { body, status } = yield* get(url, "/metrics")
        assert.strictEqual(status, 200)
        for (const line of [
          /^lanekeeper_queue_depth\{.*place="ready".*\} 1$/m,
          /^lanekeeper_leader_term \d+$/m,
          /^lanekeeper_maintenance_missing [01]$/m,
          /^lanekeeper_store_moves\{.*move="cancel".*result="moved".*\} 1$/m,
          /^lanekeeper_store_moves\{.*move="cancel".*result="stood".*\} 1$/m,
          /^lanekeeper_store_duration_count\{.*move="enqueue".*\} 1$/m,
          /^lanekeeper_lane_runs\{.*lane="promote".*\} \d+$/m,
          /^lanekeeper_storage_bytes\{.*piece="slot".*\} \d+$/m
        ]) {
          assert.match(body, line)
        }
      }).pipe(Effect.scoped)
  )
})

describe("lanekeeper maintenance", () => {
  it.live("serves its health where it is told to, to this machine alone, and ends with it [LK-K6]", () =>
    Effect.gen(function* () {
      const { url: database } = yield* TestDatabase
      const env = { DATABASE_URL: database, LANEKEEPER_HEALTH_PORT: "0" }
      const running = yield* start(process.execPath, [main, "maintenance"], { env })
      const said = yield* running.says("Leading")
      const [, url] = /Serving health.*(http:\/\/127\.0\.0\.1:\d+)/.exec(
        said + (yield* running.says("Serving health"))
      )!
      assert.match(said, /Takes connections, at most" leading=5 following=2/)
      assert.strictEqual((yield* get(url!, "/healthz")).status, 200)
      assert.strictEqual((yield* get(url!, "/readyz")).status, 200)
      assert.match((yield* get(url!, "/metrics")).body, /^lanekeeper_leader_leading [1-9]/m)
      const taken = yield* run(process.execPath, [main, "maintenance"], {
        env: { ...env, LANEKEEPER_HEALTH_PORT: new URL(url!).port }
      })
      assert.strictEqual(taken.code, 1)
      assert.match(taken.stderr, /^Health cannot be served on 127\.0\.0\.1:\d+ \(.*EADDRINUSE.*\): choose another/)
      yield* running.signal("SIGTERM")
      assert.strictEqual((yield* running.ended).code, 0)
    }).pipe(Effect.scoped, Effect.provide(TestDatabase.layer))
  )
})

describe("lanekeeper maintenance, whose metrics are read all the time", () => {
  test(
    "needs five connections as leader and two as follower, and the server gives it no more [LK-K8] [LK-L2]",
    Effect.gen(function* () {
      const store = yield* Store
      const maintain = Effect.fnUntraced(function* (connections: number) {
        const env = {
          DATABASE_URL: yield* maintainerWith(connections),
          LANEKEEPER_HEALTH_PORT: "0",
          LANEKEEPER_LANES: "stats=1 second,retention=1 second"
        }
        const running = yield* start(process.execPath, [main, "maintenance", "--log-level", "debug"], { env })
        const [, url] = /(http:\/\/127\.0\.0\.1:\d+)/.exec(yield* running.says("Serving health"))!
        yield* get(url!, "/metrics").pipe(Effect.repeat(Schedule.spaced("5 millis")), Effect.forkScoped)
        return { running, url: url! }
      })
      const leader = yield* maintain(5)
      yield* eventually(store.leader, ({ holder }) => Option.isSome(holder))
      const follower = yield* maintain(2)
      yield* enqueue("noop", 3)
      const ran = Effect.map(store.laneRuns, (runs) => runs.map(({ lane }) => lane))
      yield* eventually(ran, (lanes) =>
        ["promote", "rescue-stale", "slots", "stats", "retention"].every((one) => lanes.includes(one))
      )
      for (const { running, url } of [leader, follower]) {
        const { body } = yield* eventually(get(url, "/metrics"), ({ body }) =>
          /^lanekeeper_queue_depth\{.*place="ready".*\} 3$/m.test(body)
        )
        assert.match(body, /^lanekeeper_queue_oldest\{.*queue="default".*\} \d+/m)
        assert.match(body, /^lanekeeper_leader_leading [1-9]/m)
        assert.notMatch(yield* running.said, /too many connections|was not observed|failed/)
      }
      const { body } = yield* get(leader.url, "/metrics")
      assert.match(body, /^lanekeeper_lane_runs\{.*lane="stats".*result="succeeded".*\} \d+$/m)
    })
  )
})

/** A role behind a network of its own, and where it tells of its health. */
const behind = Effect.fnUntraced(function* (...args: ReadonlyArray<string>) {
  const network = yield* makeNetwork((yield* TestDatabase).url)
  const env = { DATABASE_URL: network.url, LANEKEEPER_HEALTH_PORT: "0" }
  const running = yield* start(process.execPath, [main, ...args], { env })
  const [, url] = /(http:\/\/127\.0\.0\.1:\d+)/.exec(yield* running.says("Serving health"))!
  return { ...network, url: url! }
})

describe("The roles that serve", () => {
  test(
    "are not ready while their database is away, say so, and are ready again by themselves [LK-K6] [LK-F8]",
    Effect.gen(function* () {
      const leader = yield* behind("maintenance")
      const store = yield* Store
      yield* eventually(store.leader, ({ holder }) => Option.isSome(holder))
      const roles = [leader, yield* behind("maintenance"), yield* behind("worker", "--app", workerApp)]
      const each = (status: number) =>
        Effect.forEach(roles, ({ url }) => eventually(readiness(url), (told) => told["status"] === status), {
          concurrency: 3
        })
      yield* each(200)
      yield* Effect.forEach(roles, ({ cut }) => cut)
      for (const { late, reason } of yield* each(503)) {
        assert.match(String(reason), /^The database has not answered for \d+ s \(.+\): see that it runs/, String(late))
      }
      yield* Effect.forEach(roles, ({ mend }) => mend)
      yield* each(200)
    })
  )
})

describe("lanekeeper worker", () => {
  test(
    "serves its health, and counts what it ran [LK-K6] [LK-L2]",
    Effect.gen(function* () {
      const worker = yield* startWorker({ LANEKEEPER_HEALTH_PORT: "0" })
      const [, url] = /Serving health.*(http:\/\/127\.0\.0\.1:\d+)/.exec(yield* worker.says("Serving health"))!
      const [row] = yield* (yield* Store).processes
      assert.deepInclude(row, { role: "worker", version: Option.some(version) })
      yield* enqueue("noop", 3)
      yield* untilSaid(worker, "ended", 3)
      assert.strictEqual((yield* get(url!, "/readyz")).status, 200)
      yield* eventually(
        get(url!, "/metrics"),
        ({ body }) => /^lanekeeper_jobs_finished\{.*kind="noop".*\} 3$/m.test(body) && body.includes('move="claim"')
      )
      yield* worker.signal("SIGTERM")
      assert.strictEqual((yield* worker.ended).code, 0)
    })
  )
})
