/** Every figure the contract names, after the thing that it counts has happened. */
import { assert, describe, it } from "@effect/vitest"
import { PgClient } from "@effect/sql-pg/PgClient"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import * as PrometheusMetrics from "effect/observability/PrometheusMetrics"
import * as Schema from "effect/Schema"
import * as Attempt from "../src/Attempt.ts"
import * as Job from "../src/Job.ts"
import * as Lanekeeper from "../src/Lanekeeper.ts"
import { lanes } from "../src/lanes/index.ts"
import { Store } from "../src/store/Store.ts"
import { StoreConnections } from "../src/StoreConnections.ts"
import { layerMeasured, makeObserver } from "../src/Telemetry.ts"
import { eventually } from "./support/eventually.ts"
import { TestDatabase } from "./support/TestDatabase.ts"

const How = Schema.Literals(["completes", "fails once", "dies", "snoozes", "is late"])
const Sample = Job.make("sample", {
  payload: { how: How },
  failure: Schema.String,
  onFailure: (failure) => (failure === "for good" ? "dead" : { after: "1 millis" })
})

/** All that is exported, as Prometheus reads it. */
const exported = PrometheusMetrics.format()

/** The value of a series, if one has these labels. */
const valueOf = (text: string, name: string, labels: Readonly<Record<string, string>> = {}) => {
  const line = text
    .split("\n")
    .find(
      (line) =>
        (line.startsWith(`${name}{`) || line.startsWith(`${name} `)) &&
        Object.entries(labels).every(([key, value]) => line.includes(`${key}="${value}"`))
    )
  return line === undefined ? undefined : Number(line.split(" ").at(-1))
}

const registry = Effect.provideService(Metric.MetricRegistry, new Map())

describe("The metrics", () => {
  it.live(
    "tell of every job enqueued, claimed, run, finished, retried, rescued and dead, and of who leads and what is stored [LK-L2] [LK-L1] [LK-B8]",
    () =>
      Effect.gen(function* () {
        const [began, goOn] = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
        const handler = Sample.handle(({ how }, { attempt }) => {
          if (how === "snoozes" && attempt === 1) return Attempt.snooze("1 millis")
          if (how === "fails once" && attempt === 1) return Effect.fail("for now")
          if (how === "dies") return Effect.fail("for good")
          if (how !== "is late" || attempt > 1) return Effect.void
          return Effect.andThen(Deferred.succeed(began, undefined), Deferred.await(goOn))
        })
        const ground = Layer.provideMerge(
          layerMeasured,
          Lanekeeper.layerPostgres().pipe(Layer.provideMerge(TestDatabase.layer))
        )
        const often = { interval: "200 millis" } as const
        const worker = Lanekeeper.layerWorker({ lanes: { "rescue-stale": often, stats: often } }).pipe(
          Layer.provide(handler)
        )
        yield* Effect.gen(function* () {
          const sql = yield* PgClient
          const store = yield* Store
          const observe = yield* makeObserver
          const until = (name: string, labels: Readonly<Record<string, string>>, least: number) =>
            eventually(Effect.andThen(observe, exported), (text) => (valueOf(text, name, labels) ?? 0) >= least)

          for (const how of ["completes", "fails once", "dies", "snoozes", "is late"] as const) {
            yield* Sample.enqueue({ how })
          }
          yield* Sample.enqueue({ how: "completes" }, { queue: "elsewhere" })
          const kind = "sample"
          yield* until("lanekeeper_jobs_finished", { kind, outcome: "completed" }, 3)
          yield* until("lanekeeper_jobs_finished", { kind, outcome: "failed" }, 1)
          yield* until("lanekeeper_jobs_finished", { kind, outcome: "died" }, 1)
          yield* until("lanekeeper_jobs_finished", { kind, outcome: "snoozed" }, 1)
          yield* until("lanekeeper_lane_rows", { lane: "promote", outcome: "ready" }, 2)

          // A worker that is given up while it works: its job is rescued, and what it says then is refused.
          yield* Deferred.await(began)
          const given = Effect.flatMap(store.workers, ([row]) => store.declareDead(row!.id, row!.beats))
          yield* eventually(given, (declared) => declared)
          yield* until("lanekeeper_lane_rows", { lane: "rescue-stale", outcome: "ready" }, 1)
          yield* Deferred.succeed(goOn, undefined)
          yield* until("lanekeeper_outcomes_refused", { kind }, 1)

          yield* until("lanekeeper_listener_connects", {}, 1)
          yield* sql`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%lanekeeper_wake%' AND pid <> pg_backend_pid()`
          yield* until("lanekeeper_listener_connects", {}, 2)

          yield* until("lanekeeper_queue_depth", { queue: "elsewhere", place: "ready" }, 1)
          yield* until("lanekeeper_queue_depth", { queue: "default", place: "dead" }, 1)
          yield* until("lanekeeper_queue_oldest", { queue: "elsewhere" }, 1)
          yield* until("lanekeeper_leader_term", {}, 1)
          yield* until("lanekeeper_leader_leading", {}, 1)
          yield* until("lanekeeper_storage_pieces", { piece: "slot", state: "current" }, 1)
          yield* until("lanekeeper_storage_pieces", { piece: "slot", state: "empty" }, 1)
          yield* until("lanekeeper_lane_age", { lane: "promote" }, 1)

          const text = yield* exported
          assert.strictEqual(valueOf(text, "lanekeeper_maintenance_missing"), 0)
          assert.strictEqual(
            valueOf(text, "lanekeeper_jobs_enqueued", { kind, outcome: "enqueued", queue: "default" }),
            5
          )
          assert.isAtLeast(valueOf(text, "lanekeeper_jobs_claimed", { kind, queue: "default" })!, 7)
          for (const histogram of ["jobs_wait", "jobs_run"]) {
            assert.isAtLeast(valueOf(text, `lanekeeper_${histogram}_bucket`, { le: "+Inf" })!, 5)
            assert.isAbove(valueOf(text, `lanekeeper_${histogram}_sum`)!, 0)
          }
          for (const lane of lanes.filter((lane) => lane.class === "user-visible")) {
            const labels = { lane: lane.name, class: lane.class }
            assert.isAtLeast(valueOf(text, "lanekeeper_lane_runs", { ...labels, result: "succeeded" })!, 1)
            for (const histogram of ["duration", "lateness"]) {
              assert.isAtLeast(valueOf(text, `lanekeeper_lane_${histogram}_bucket`, { ...labels, le: "+Inf" })!, 1)
            }
          }
          assert.strictEqual(
            valueOf(text, "lanekeeper_store_moves", { move: "declareDead", result: "failed" }),
            undefined
          )
          assert.isAtLeast(valueOf(text, "lanekeeper_store_moves", { move: "claim", result: "done" })!, 1)
          assert.isAtLeast(valueOf(text, "lanekeeper_store_duration_bucket", { move: "finish", le: "+Inf" })!, 1)
          const named = [...text.matchAll(/^# TYPE (\S+)/gm)].map(([, name]) => name!)
          assert.deepStrictEqual(
            named.filter((name) => !name.startsWith("lanekeeper_")),
            []
          )
        }).pipe(Effect.provide(Layer.provideMerge(Layer.merge(worker, Lanekeeper.layerClient), ground)))
      }).pipe(Effect.scoped, registry),
    60_000
  )

  it.effect("count calls that found every connection of their pool at work [LK-L2]", () =>
    Effect.gen(function* () {
      const store = yield* Store
      const held = yield* Deferred.make<void>()
      const slow = { ...store, leader: Effect.andThen(Deferred.await(held), store.leader) }
      const ground = Layer.provide(
        layerMeasured,
        Layer.merge(
          Layer.succeed(Store, store),
          Layer.succeed(
            StoreConnections,
            StoreConnections.opening(() => Effect.succeed(slow))
          )
        )
      )
      yield* Effect.gen(function* () {
        const { open } = yield* StoreConnections
        const timeouts = { statementTimeout: Duration.seconds(1), lockTimeout: Duration.seconds(1) }
        const { leader } = yield* open({ name: "two", connections: 2, ...timeouts })
        const calls = yield* Effect.forEach([1, 2, 3], () => Effect.forkChild(leader, { startImmediately: true }))
        const waits = Effect.map(exported, (text) => valueOf(text, "lanekeeper_pool_waits", { pool: "two" }))
        assert.strictEqual(yield* waits, 1)
        yield* Deferred.succeed(held, undefined)
        yield* Fiber.joinAll(calls)
        yield* leader
        assert.strictEqual(yield* waits, 1)
      }).pipe(Effect.provide(ground))
    }).pipe(Effect.provide(Layer.fresh(Lanekeeper.layerMemory)), registry)
  )
})
