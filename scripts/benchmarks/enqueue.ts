/**
 * Measures what a producer pays: one job per call from ten producers, with and without somebody listening, and a
 * thousand per call, beside a plain insert of the same bytes through the same client.
 *
 * Producers are fibers of one process over a pool of ten. Listeners are two more pools with the schema's own wake-up.
 */
import * as PgClient from "@effect/sql-pg/PgClient"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as Job from "../../src/Job.ts"
import * as Lanekeeper from "../../src/Lanekeeper.ts"
import { Wakeup } from "../../src/Wakeup.ts"
import { type Benchmark, figure } from "./Benchmark.ts"
import { startServer } from "./server.ts"

const producers = 10
const perCall = 1_000

const Note = Job.make("note", { payload: { text: Schema.String } })
const payload = { text: "x".repeat(188) } // 200 bytes as JSON

interface Contender {
  readonly name: string
  /** Enqueues this many jobs. */
  readonly run: (jobs: number) => Effect.Effect<unknown, unknown>
}

const each = (jobs: number, one: Effect.Effect<unknown, unknown>) =>
  Effect.forEach(
    Array.from({ length: producers }),
    () => Effect.forEach(Array.from({ length: jobs / producers }), () => one, { discard: true }),
    { concurrency: producers, discard: true }
  )

const raw = `INSERT INTO bench_raw (kind, queue, payload) SELECT kind, queue, payload::jsonb FROM unnest($1::text[], $2::text[], $3::text[]) AS one (kind, queue, payload)`
const rawOne = `INSERT INTO bench_raw (kind, queue, payload) VALUES ($1, $2, $3::jsonb)`

export const enqueue: Benchmark = {
  name: "enqueue",
  about: "what a producer pays, alone and in bulk, with and without listeners, beside a plain insert",
  run: Effect.fnUntraced(function* ({ short }) {
    const { admin, facts, url } = yield* startServer
    yield* admin.query(
      `CREATE TABLE bench_raw (id bigserial PRIMARY KEY, kind text, queue text, payload jsonb, created_at timestamptz DEFAULT now())`
    )
    const pool = PgClient.layer({ url, maxConnections: producers })
    const build = Layer.build(
      Layer.fresh(Lanekeeper.layerClient.pipe(Layer.provideMerge(Lanekeeper.layerPostgres()), Layer.provideMerge(pool)))
    )
    const app = yield* build
    const sql = Context.get(app, PgClient.PgClient)
    const text = JSON.stringify(payload)
    const many = Array.from({ length: perCall }, () => payload)
    const ones: ReadonlyArray<Contender> = [
      { name: "plain insert", run: (jobs) => each(jobs, sql.unsafe(rawOne, ["note", "default", text])) },
      {
        name: "plain insert, NOTIFY in its transaction",
        run: (jobs) =>
          each(
            jobs,
            sql.unsafe(
              `WITH told AS MATERIALIZED (SELECT pg_notify('bench', $2)) INSERT INTO bench_raw (kind, queue, payload) SELECT $1, $2, $3::jsonb FROM told`,
              ["note", "default", text]
            )
          )
      },
      { name: "Lanekeeper", run: (jobs) => each(jobs, Effect.provideContext(Note.enqueue(payload), app)) }
    ]
    const bulks: ReadonlyArray<Contender> = [
      {
        name: "plain insert",
        run: (jobs) =>
          Effect.forEach(
            Array.from({ length: jobs / perCall }),
            () => sql.unsafe(raw, [many.map(() => "note"), many.map(() => "default"), many.map(() => text)]),
            { discard: true }
          )
      },
      {
        name: "Lanekeeper",
        run: (jobs) =>
          Effect.forEach(
            Array.from({ length: jobs / perCall }),
            () => Effect.provideContext(Note.enqueueMany(many), app),
            {
              discard: true
            }
          )
      }
    ]

    const rounds = short ? 3 : 7
    const rates = new Map<string, Array<number>>()
    const measure = Effect.fnUntraced(function* (cell: string, contenders: ReadonlyArray<Contender>, jobs: number) {
      for (const contender of contenders) {
        const [took] = yield* Effect.timed(contender.run(jobs))
        const name = `${contender.name}\0${cell}`
        rates.set(name, [...(rates.get(name) ?? []), (jobs * 1_000) / Duration.toMillis(took)])
      }
    })
    const jobs = short ? 5_000 : 20_000
    yield* measure("warm-up", ones, 2_000)
    yield* measure("warm-up", bulks, 20_000)
    rates.clear()
    for (let n = 0; n < rounds; n++) {
      yield* measure("alone", ones, jobs)
      yield* Effect.scoped(
        Effect.gen(function* () {
          for (const _ of [1, 2]) yield* Context.get(yield* build, Wakeup).pokes
          yield* admin.query("LISTEN bench")
          yield* measure("heard", ones, jobs)
          yield* admin.query("UNLISTEN bench")
        })
      )
      yield* measure("bulk", bulks, jobs * 5)
      yield* admin.query("CHECKPOINT", [], false)
    }
    const of = (name: string, cell: string) => figure(rates.get(`${name}\0${cell}`) ?? [0])
    const ratio = (name: string, cell: string, to: string, toCell: string) => {
      const base = rates.get(`${to}\0${toCell}`)!
      return figure(rates.get(`${name}\0${cell}`)!.map((rate, index) => rate / base[index]!))
    }
    return {
      facts: {
        ...facts,
        driven: `${producers} producers over a pool of ${producers}, 200-byte payloads, ${rounds} rounds of ${jobs} jobs, ${jobs * 5} in bulk`
      },
      tables: [
        {
          title: "one job per call, jobs/s",
          columns: ["", "nobody listens", "two processes listen"],
          rows: ones.map(({ name }) => [name, of(name, "alone"), of(name, "heard")])
        },
        {
          title: `${perCall} jobs per call, one producer, jobs/s`,
          columns: ["", ""],
          rows: bulks.map(({ name }) => [name, of(name, "bulk")])
        }
      ],
      goals: [
        {
          goal: "throughput kept when somebody listens",
          atLeast: 0.9,
          found: ratio("Lanekeeper", "heard", "Lanekeeper", "alone")
        },
        { goal: "one by one with listeners, jobs/s", atLeast: 8_000, found: of("Lanekeeper", "heard") },
        { goal: "in bulk, jobs/s", atLeast: 120_000, found: of("Lanekeeper", "bulk") }
      ]
    }
  })
}
