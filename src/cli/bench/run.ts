/**
 * Measures what a database can do for Lanekeeper: in a schema of its own, with a producer and a worker that know of each
 * other only through the database, as if they were two processes.
 */
import * as PgClient from "@effect/sql-pg/PgClient"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Redacted from "effect/Redacted"
import * as References from "effect/References"
import { Client } from "../../Client.ts"
import { layerPostgres, type PostgresOptions } from "../../roles/ground.ts"
import { connectionsOf, layerWorker } from "../../roles/worker.ts"
import * as Trial from "../../store/postgres/Trial.ts"
import { progress } from "../progress.ts"
import type { Bench } from "../shapes.ts"
import { Begun, enqueue, enqueueAndRun, pickup, queue, Sample, ways } from "./measures.ts"

export interface BenchOptions extends Pick<PostgresOptions, "directUrl" | "leadership"> {
  readonly url: Redacted.Redacted
  readonly jobs: number
  readonly seconds: number
  readonly concurrency: number
  readonly producers: number
  readonly payloadBytes: number
}

const pool = 8 // of the worker, whose handlers need none

export const run = Effect.fn("bench")(
  function* ({ directUrl, leadership, url, ...options }: BenchOptions) {
    const { concurrency, producers } = options
    const client = (name: string, maxConnections: number) =>
      PgClient.layer({ url, applicationName: `lanekeeper bench ${name}`, maxConnections })
    const looking = yield* Layer.build(client("schema", 1))
    const sql = yield* Effect.provideContext(PgClient.PgClient, looking)
    const trial = yield* Trial.make(sql, connectionsOf(pool).total + producers).pipe(Effect.provideContext(looking))
    const begun = new Begun()
    const bench = { ...options, begun, ended: trial.ended }

    const ground = layerPostgres({ schema: trial.schema, directUrl, leadership })
    const worker = layerWorker({ jobs: [Sample], queues: { [queue]: { concurrency } }, drain: "1 second" }).pipe(
      Layer.provide(Sample.handle(({ n }) => Effect.sync(() => void begun.at.set(n, performance.now())))),
      Layer.provide(Layer.provide(Layer.fresh(ground), client("worker", connectionsOf(pool).handlers)))
    )
    const producer = Client.layer.pipe(Layer.provide(ground), Layer.provideMerge(client("producers", producers)))
    const measuring = Effect.gen(function* () {
      const { commit, roundTrip } = yield* ways
      // The first warms the worker up for the others.
      const measures = [yield* pickup(bench), yield* enqueue(bench), ...(yield* enqueueAndRun(bench))]
      return { commit, roundTrip, measures }
    })
    const { measures, ...times } = yield* measuring.pipe(
      Effect.provide(Layer.merge(producer, worker)),
      Effect.ensuring(progress(""))
    )
    const { fsync, synchronousCommit, version } = trial
    return { server: { version, fsync, synchronousCommit, ...times }, options, measures } satisfies typeof Bench.Type
  },
  Effect.scoped,
  // What roles tell of themselves is not what somebody looks for here.
  Effect.provideService(References.MinimumLogLevel, "Warn")
)
