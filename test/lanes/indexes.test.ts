import { PgClient } from "@effect/sql-pg/PgClient"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as TestClock from "effect/testing/TestClock"
import { indexes } from "../../src/lanes/indexes.ts"
import { runOnce } from "../../src/lanes/Lane.ts"
import { layerSuite } from "../store/suitePostgres.ts"
import { Wakeup } from "../../src/Wakeup.ts"
import { quietly } from "../support/quietly.ts"
import { ground, instants, Lines, looping, done, steady } from "./world.ts"

const invalidate = Effect.fnUntraced(function* (index: string) {
  const sql = yield* PgClient
  yield* sql.unsafe(`UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'lanekeeper.${index}'::regclass`)
})
const invalid = Effect.gen(function* () {
  const sql = yield* PgClient
  const rows = yield* sql<{ name: string }>`
    SELECT indexrelid::regclass::text AS name FROM pg_index WHERE NOT indisvalid ORDER BY 1`
  return rows.map(({ name }) => name)
})

const test = (sentence: string, body: Effect.Effect<void, unknown, Layer.Success<typeof postgres>>) =>
  it.live(sentence, () => quietly(body).pipe(Effect.provide(postgres)))
const postgres = layerSuite.pipe(Layer.provideMerge(Wakeup.layerLocal))

describe("The lane indexes", () => {
  test(
    "rebuilds what was left invalid, one after another, and drops what a rebuild left behind [LK-D9]",
    Effect.gen(function* () {
      const sql = yield* PgClient
      assert.deepInclude(yield* runOnce(indexes), { rows: {}, batches: 1, error: null })
      yield* sql`CREATE INDEX timed_due_ccnew ON lanekeeper.timed (run_at)`
      yield* Effect.forEach(["timed_due", "timed_due_ccnew", "wait_expiry"], invalidate)
      assert.deepInclude(yield* runOnce(indexes), { rows: { rebuilt: 2, dropped: 1 }, drained: true, error: null })
      assert.deepStrictEqual(yield* invalid, [])
      assert.deepStrictEqual(yield* sql`SELECT FROM pg_class WHERE relname LIKE '%_ccnew'`, [])
    })
  )

  test(
    "rebuilds an index that is mostly air [LK-D9]",
    Effect.gen(function* () {
      const sql = yield* PgClient
      yield* sql`
        INSERT INTO lanekeeper.timed (job, run_at, attempt, failures, crashes, slot, priority, queue, kind)
        SELECT n, now() + n * interval '1 hour', 0, 0, 0, 0, 5, 'post', 'mail' FROM generate_series(1, 300000) n`
      yield* sql`VACUUM ANALYZE lanekeeper.timed`
      assert.deepInclude(yield* runOnce(indexes), { rows: {} })
      yield* sql`DELETE FROM lanekeeper.timed WHERE job > 10`
      yield* sql`VACUUM ANALYZE lanekeeper.timed`
      assert.deepInclude(yield* runOnce(indexes), { rows: { rebuilt: 1 }, error: null })
      const [row] = yield* sql<{ bytes: bigint }>`SELECT pg_relation_size('lanekeeper.timed_due') AS bytes`
      assert.isBelow(Number(row!.bytes), 100_000)
    })
  )

  test(
    "reports what it must leave to the owner, and goes on with the next [LK-D9]",
    Effect.gen(function* () {
      yield* Effect.forEach(["ticket_turn", "wait_expiry"], invalidate)
      const log = new Lines()
      assert.deepInclude(yield* Effect.provide(runOnce(indexes), log.layer), { rows: { rebuilt: 1 }, error: null })
      assert.include(log.lines, "Warn: An index wants to be rebuilt by its owner")
      assert.deepStrictEqual(yield* invalid, ["lanekeeper.ticket_turn"])
    })
  )

  it.effect("runs in its hour of the day alone [LK-D9]", () =>
    Effect.gen(function* () {
      const { now, seen } = yield* instants
      yield* looping({ ...indexes, body: () => Effect.as(now, done) })
      yield* TestClock.adjust("23 hours")
      const hours = (yield* seen).map((millis) => millis / 3_600_000)
      assert.lengthOf(hours, 3)
      assert.isTrue(hours.every((hour) => hour >= 3 && hour < 4))
    }).pipe(quietly, Effect.provide(Layer.merge(ground, steady)))
  )
})
