/** The soak in short: rounds of work under a pinned snapshot, with the lanes between. Nothing grows with the rounds. */
import { PgClient } from "@effect/sql-pg/PgClient"
import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { runOnce } from "../../src/lanes/Lane.ts"
import { promote } from "../../src/lanes/promote.ts"
import { retention } from "../../src/lanes/retention.ts"
import { slots } from "../../src/lanes/slots.ts"
import { layerPostgres } from "../../src/store/postgres/index.ts"
import { smallParts } from "../../src/store/postgres/migrations/rewrite.ts"
import { pinned } from "../../src/store/postgres/upkeep/rewriting.ts"
import { Store } from "../../src/store/Store.ts"
import { Wakeup } from "../../src/Wakeup.ts"
import { completed, endOf, job, retried } from "../store/suiteWorld.ts"
import { eventually } from "../support/eventually.ts"
import { quietly } from "../support/quietly.ts"
import { TestDatabase } from "../support/TestDatabase.ts"

const rounds = 32
const jobs = 600
const small = 1_048_576 // bytes: a table below is not worth writing anew, or hardly
const soon = Duration.millis(1)

const soak = Effect.gen(function* () {
  const database = yield* TestDatabase
  const client = yield* database.client({ maxConnections: 1 })
  const sql = Context.get(client as Context.Context<PgClient>, PgClient)
  const layer = Layer.merge(layerPostgres(), Wakeup.layerLocal).pipe(Layer.provide(Layer.succeed(PgClient, sql)))
  const services = yield* Layer.build(layer)
  const store = Context.get(services, Store)
  const reader = yield* (yield* database.connect).pin
  yield* reader.query("BEGIN ISOLATION LEVEL REPEATABLE READ")
  yield* reader.query("SELECT count(*) FROM pg_class")
  yield* eventually(sql.unsafe<{ pinned: boolean }>(`SELECT ${pinned} AS pinned`), ([row]) => row!.pinned)

  // A vacuum could take nothing out, but would have a table open for rounds.
  for (const { table } of smallParts)
    yield* sql.unsafe(`ALTER TABLE lanekeeper.${table} SET (autovacuum_enabled = false)`)

  const worker = yield* store.register("worker")
  const sizes = Effect.map(
    sql<{ name: string; bytes: number }>`
      SELECT regexp_replace(relname, '_[0-9]+$', '') AS name, sum(pg_total_relation_size(relid))::float8 AS bytes
      FROM pg_stat_user_tables WHERE schemaname = 'lanekeeper' GROUP BY 1`,
    (rows) => new Map(rows.map(({ bytes, name }) => [name, bytes]))
  )
  const blocks = Effect.map(
    sql<{ blocks: number }>`
      SELECT sum(pg_stat_get_xact_blocks_fetched(oid))::int AS blocks FROM pg_class
      WHERE relnamespace = 'lanekeeper'::regnamespace`,
    ([row]) => row!.blocks
  )
  /** What a move reads, in a transaction of its own. */
  const reads = <A, E>(move: Effect.Effect<A, E>) =>
    sql.withTransaction(
      Effect.gen(function* () {
        const before = yield* blocks
        const result = yield* move
        return { result, blocks: (yield* blocks) - before }
      })
    )

  const round = Effect.fnUntraced(function* (turn: number) {
    // The next slot and the other shelf, and what was written before is past retention.
    yield* sql`UPDATE lanekeeper.ring SET retention = '1 microsecond',
      period = extract(epoch FROM clock_timestamp()) / ${turn + 48.5}::float8 * interval '1 s',
      shelf_period = extract(epoch FROM clock_timestamp()) / ${turn + 48.5}::float8 * interval '1 s'`
    // Each has a deadline of its own, and so its own ticket and lease.
    const one = (n: number) =>
      job({ deadline: Duration.millis(3_600_000 + n), ...(n % 3 === 0 ? { runIn: soon } : {}) })
    const numbers = Array.from({ length: jobs }, (_, n) => n)
    yield* store.enqueue(numbers.filter((n) => n % 2 === 0).map(one))
    yield* store.enqueueUnique(
      numbers
        .filter((n) => n % 2 === 1)
        .map((n) => ({
          ...one(n),
          unique: { by: { key: `${turn} ${n}` }, places: ["ready"], onConflict: "keep" } as const
        }))
    )
    const promoted = yield* reads(store.promote({ limit: jobs }))
    const claimed = yield* reads(store.claim({ worker, kinds: ["mail"], queues: [{ queue: "post", limit: 2 * jobs }] }))
    const beat = yield* reads(store.beat(worker))
    const ended = yield* store.finish(
      worker,
      claimed.result.jobs.map((one, n) => endOf(one, one.attempt === 1 && n % 3 === 0 ? retried(soon) : completed))
    )
    assert.notInclude(ended, "refused")
    yield* sql`UPDATE lanekeeper.look SET again_at = looked_at`
    for (const lane of [promote, slots, retention]) {
      assert.isNull((yield* Effect.provideContext(runOnce(lane), services)).error)
    }
    return {
      done: ended.length,
      sizes: yield* sizes,
      reads: { promote: promoted.blocks, claim: claimed.blocks, beat: beat.blocks }
    }
  })

  return yield* Effect.forEach(Array.from({ length: rounds }), (_, turn) => round(turn))
}).pipe(quietly, Effect.scoped, Effect.provide(TestDatabase.layer))

describe("Under a pinned snapshot", () => {
  it.live(
    "tables keep their sizes, and claims, beats and promotions read no more, however much work is done [LK-P3] [LK-D1]",
    () =>
      Effect.map(soak, (all) => {
        const quarter = (which: number) => all.slice(((which - 1) * rounds) / 4, (which * rounds) / 4)
        const [second, last] = [quarter(2), quarter(4)]
        const mean = (values: ReadonlyArray<number>) => values.reduce((sum, value) => sum + value, 0) / values.length
        assert.isAtLeast(mean(last.map(({ done }) => done)), jobs)
        for (const name of all[0]!.sizes.keys()) {
          // Of the middle, for a vacuum may keep a table from being written anew this time.
          const usual = (some: typeof all) =>
            some.map(({ sizes }) => sizes.get(name)!).toSorted((a, b) => a - b)[some.length >> 1]!
          assert.isAtMost(usual(last), Math.max(1.2 * usual(second), small), `bytes of ${name}`)
        }
        for (const move of ["claim", "beat", "promote"] as const) {
          const read = (some: typeof all) => mean(some.map(({ reads }) => reads[move]))
          assert.isAtMost(read(last), 1.2 * read(second), `pages read by a ${move}`)
        }
      }),
    120_000
  )
})
