/** What lies in no slot goes with the job it belongs to, and to find out costs little however much there is. */
import { PgClient } from "@effect/sql-pg/PgClient"
import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { slotOf } from "../../../src/domain/Job.ts"
import { layerPostgres } from "../../../src/store/postgres/index.ts"
import { Slots } from "../../../src/store/postgres/Slots.ts"
import { Store, type Uniqueness } from "../../../src/store/Store.ts"
import { TestDatabase } from "../../support/TestDatabase.ts"
import { elapse } from "../suitePostgres.ts"
import { completed, died, endOf, job } from "../suiteWorld.ts"

const stores = Layer.merge(layerPostgres(), Slots.layer()).pipe(Layer.provideMerge(TestDatabase.layer))

const unique = (key: string): Uniqueness => ({ by: { key }, places: ["ready"], onConflict: "keep" })

describe("Retention", () => {
  it.live("lets go of keys and notes when the storage of their job is emptied, and not before [LK-D3]", () =>
    Effect.gen(function* () {
      const sql = yield* PgClient
      const slots = yield* Slots
      const store = yield* Store
      yield* sql`UPDATE lanekeeper.ring SET period = '10000 days'`
      const worker = yield* store.register("worker")
      const admitted = yield* store.enqueueUnique(
        ["over", "dead", "lives"].map((key) => ({ ...job(), unique: unique(key) }))
      )
      const [over, dead] = (yield* store.claim({ worker, kinds: ["mail"], queues: [{ queue: "post", limit: 2 }] })).jobs
      for (const { attempt, id, lease } of [over!, dead!]) {
        assert.isTrue(yield* store.remember(worker, { id, lease, attempt, name: "step:a", value: 1 }))
      }
      yield* store.finish(worker, [endOf(over!, completed), endOf(dead!, died)])
      yield* sql`UPDATE lanekeeper.unique_key SET enqueued_at = enqueued_at - interval '2 days'`
      yield* sql`UPDATE lanekeeper.note SET noted_at = noted_at - interval '2 days'`
      yield* sql`UPDATE lanekeeper.attempt_end SET ended_at = ended_at - interval '2 days'`
      assert.deepStrictEqual(yield* store.retire({ limit: 10 }), { dead: 0, keys: 0, notes: 0 })

      const home = slotOf(admitted[0]!.id)
      assert.strictEqual(yield* slots.evacuate(home, { limit: 10 }), 1)
      assert.strictEqual(yield* slots.emptySlot(home), "emptied")
      assert.deepStrictEqual(yield* store.retire({ limit: 10 }), { dead: 0, keys: 1, notes: 1 })
      yield* store.redrive(dead!.id)
      assert.deepStrictEqual(yield* store.retire({ limit: 10 }), { dead: 0, keys: 0, notes: 0 })
      yield* store.setAside(dead!.id, "not wanted")
      assert.isTrue(yield* store.purge(dead!.id))
      assert.deepStrictEqual(yield* store.retire({ limit: 10 }), { dead: 0, keys: 1, notes: 1 })
      assert.deepStrictEqual(
        yield* sql`SELECT key FROM lanekeeper.unique_key`,
        [{ key: "key lives" }],
        "the key of the one that is ready"
      )
    }).pipe(Effect.scoped, Effect.provide(stores))
  )

  it.live("throttles for a period that is longer than what was throttled is kept [LK-E5] [LK-D3]", () =>
    Effect.gen(function* () {
      const sql = yield* PgClient
      const slots = yield* Slots
      const store = yield* Store
      yield* sql`UPDATE lanekeeper.ring SET period = '10000 days'`
      const worker = yield* store.register("worker")
      const places = ["ready", "running", "completed"] as const
      const weekly: Uniqueness = { by: { key: "weekly" }, places, period: Duration.days(7), onConflict: "keep" }
      const enqueue = Effect.map(store.enqueueUnique([{ ...job(), unique: weekly }]), ([enqueued]) => enqueued!)
      const { id } = yield* enqueue
      const [claimed] = (yield* store.claim({ worker, kinds: ["mail"], queues: [{ queue: "post", limit: 1 }] })).jobs
      yield* store.finish(worker, [endOf(claimed!, completed)])
      yield* elapse(Duration.days(2))
      yield* sql`UPDATE lanekeeper.attempt_end SET ended_at = ended_at - interval '2 days'`
      assert.strictEqual(yield* slots.emptySlot(slotOf(id)), "emptied")
      assert.strictEqual((yield* store.retire({ limit: 10 })).keys, 0)
      assert.deepInclude(yield* enqueue, { id, outcome: "kept" })
      yield* elapse(Duration.days(6))
      assert.strictEqual((yield* store.retire({ limit: 10 })).keys, 1)
      assert.deepInclude(yield* enqueue, { outcome: "enqueued" })
    }).pipe(Effect.scoped, Effect.provide(stores))
  )

  it.live("looks no job up for the keys and notes of thousands that wait for their slot to be emptied [LK-D3]", () =>
    Effect.gen(function* () {
      const sql = yield* PgClient
      const store = yield* Store
      const many = 5_000
      yield* sql`INSERT INTO lanekeeper.job (id, enqueued_at, slot, priority, queue, kind, payload)
        SELECT n, now(), 3, 5, 'post', 'mail', 'null' FROM generate_series(1, ${many}) AS n`
      yield* sql`INSERT INTO lanekeeper.unique_key (kind, key, job, slot, enqueued_at)
        SELECT 'mail', n::text, n, 3, now() - interval '2 days' FROM generate_series(1, ${many}) AS n`
      yield* sql`INSERT INTO lanekeeper.note (job, slot, attempt, noted_at, name)
        SELECT n, 3, 1, now() - interval '2 days', 'step:a' FROM generate_series(1, ${many}) AS n`
      yield* sql.withTransaction(
        Effect.gen(function* () {
          const fetched = sql<{ blocks: number }>`SELECT sum(pg_stat_get_xact_blocks_fetched(oid))::int AS blocks
            FROM pg_class WHERE relnamespace = 'lanekeeper'::regnamespace`
          const [before] = yield* fetched
          assert.deepStrictEqual(yield* store.retire({ limit: 10 }), { dead: 0, keys: 0, notes: 0 })
          const [after] = yield* fetched
          // Each of the ten thousand rows is read, and little else: a look into every place of a job takes sixty.
          assert.isBelow(after!.blocks - before!.blocks, 5 * 2 * many)
        })
      )
    }).pipe(Effect.scoped, Effect.provide(stores))
  )
})
