/**
 * Measures whether a pinned snapshot slows a queue down or keeps its storage: a steady load through a real worker with
 * its maintenance, while another session of the same database holds a snapshot from the first seconds to the end.
 *
 * Nothing that dies meanwhile can be vacuumed. What is compared is the last quarter with the second, when the first
 * retention is over: times of claims, beats and promotes as the worker saw them, what they read, dead rows, and sizes.
 */
import * as PgClient from "@effect/sql-pg/PgClient"
import * as PgConnection from "@effect/sql-pg/PgConnection"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as References from "effect/References"
import { writeFileSync } from "node:fs"
import * as Lanekeeper from "../../src/Lanekeeper.ts"
import { Store } from "../../src/store/Store.ts"
import { StoreConnections } from "../../src/StoreConnections.ts"
import type { Benchmark } from "./Benchmark.ts"
import { draw } from "./pinned/chart.ts"
import { Load } from "./pinned/load.ts"
import { chartOf, reportOf, type Run, type Sample, type Scale } from "./pinned/report.ts"
import { readFamilies, readRelations, Stopwatch } from "./pinned/watch.ts"
import { startServer } from "./server.ts"
import { queue } from "./work/Contender.ts"

const long: Scale = { seconds: 600, rate: 2_000, every: 15, pinAfter: 5, retention: 120, period: 10, shelfPeriod: 30 }
const brief: Scale = { seconds: 90, rate: 1_000, every: 5, pinAfter: 3, retention: 12, period: 1, shelfPeriod: 3 }

export const pinned: Benchmark = {
  name: "pinned",
  about: "a steady load while a snapshot is pinned: times, dead rows and sizes; [--seconds n] [--rate n] [--svg file]",
  run: Effect.fnUntraced(function* (options) {
    const usual = options.short ? brief : long
    const scale = { ...usual, seconds: options.seconds ?? usual.seconds, rate: options.rate ?? usual.rate }
    if (scale.seconds < 4 * scale.every) {
      return yield* Effect.die(
        `Too short: a quarter of ${scale.seconds} s has no sample, one is taken every ${scale.every} s`
      )
    }
    const { admin, facts, url } = yield* startServer
    yield* admin.query(
      `UPDATE lanekeeper.ring SET retention = '${scale.retention} seconds', period = '${scale.period} seconds',
         shelf_period = '${scale.shelfPeriod} seconds'`,
      [],
      false
    )
    const load = new Load(scale.rate, scale.seconds)
    const stopwatch = new Stopwatch()

    const timed = Effect.map(Layer.build(Lanekeeper.layerPostgres()), (context) =>
      context.pipe(
        Context.add(Store, stopwatch.over(Context.get(context, Store))),
        Context.add(
          StoreConnections,
          StoreConnections.opening((budget) =>
            Effect.map(Context.get(context, StoreConnections).open(budget), stopwatch.over)
          )
        )
      )
    )
    const ground = Layer.effectContext(timed).pipe(Layer.provide(PgClient.layer({ url, maxConnections: 4 })))
    const worker = Lanekeeper.layerWorker({
      jobs: [load.kind],
      queues: { [queue]: { concurrency: 100 } },
      heartbeat: "500 millis", // ten times as often as usual, so that a hundredth of them says something
      lanes: { retention: { interval: `${scale.retention / 2} seconds` } }
    }).pipe(Layer.provide(load.handlers), Layer.provideMerge(ground))
    const client = Lanekeeper.layerClient.pipe(
      Layer.provide(Lanekeeper.layerPostgres()),
      Layer.provide(PgClient.layer({ url, maxConnections: 2 }))
    )

    const run: Run = yield* Effect.gen(function* () {
      const store = Context.get(yield* Layer.build(Layer.fresh(worker)), Store)
      const producer = yield* Layer.build(Layer.fresh(client))
      const reader = yield* PgConnection.make({ url })
      const begin = performance.now()
      const until = (second: number) =>
        Effect.suspend(() => Effect.sleep(Math.max(0, begin + second * 1_000 - performance.now())))
      const producing = yield* Effect.forkScoped(load.produce(producer))
      const pinning = yield* Effect.forkScoped(
        Effect.gen(function* () {
          yield* until(scale.pinAfter)
          yield* reader.query("BEGIN ISOLATION LEVEL REPEATABLE READ")
          yield* reader.query("SELECT count(*) FROM pg_class")
        })
      )
      const samples: Array<Sample> = []
      for (let second = scale.every; second <= scale.seconds; second += scale.every) {
        yield* until(second)
        const waits = load.waits
        load.waits = []
        samples.push({
          at: second,
          enqueued: load.enqueued,
          completed: load.completed,
          emptied: stopwatch.emptied,
          rewritten: stopwatch.rewritten,
          waits,
          times: stopwatch.take(),
          families: yield* readFamilies(admin),
          relations: yield* readRelations(admin)
        })
      }
      const storage = yield* store.storage
      yield* Fiber.join(pinning)
      yield* Fiber.join(producing)
      const jobs = scale.rate * scale.seconds
      yield* Effect.sleep("20 millis").pipe(
        Effect.repeat({ until: () => load.completed >= jobs }),
        Effect.timeoutOption("1 minute")
      )
      return { scale, samples, storage, left: jobs - load.completed }
    }).pipe(Effect.scoped, Effect.provideService(References.MinimumLogLevel, "Fatal"))

    const { svg } = options
    if (svg !== undefined) yield* Effect.sync(() => writeFileSync(svg, draw(chartOf(run))))
    const report = reportOf(run)
    return { ...report, facts: { ...facts, ...report.facts } }
  })
}
