import { assert, layer } from "@effect/vitest"
import { PgClient } from "@effect/sql-pg/PgClient"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { places } from "../../src/domain/Job.ts"
import { layerPostgres } from "../../src/store/postgres/index.ts"
import { slots } from "../../src/store/postgres/migrations/jobs/tables.ts"
import { estimates, layerNoting, Statements } from "../support/statements.ts"
import { TestDatabase } from "../support/TestDatabase.ts"
import { suite } from "./suite.ts"
import { elapse, empty } from "./suitePostgres.ts"
import { died, makeWorld, released } from "./suiteWorld.ts"

const layerSuite = layerPostgres().pipe(
  Layer.provide(layerNoting),
  Layer.provideMerge(Layer.merge(TestDatabase.layer, Statements.layer))
)

/** In the dearest form they can stand in: a row a job, over the whole ring, and leases of a few. */
const many = 300_000
const grow = [
  `INSERT INTO lanekeeper.job (id, ticket, enqueued_at, slot, priority, queue, kind, payload)
   SELECT n, n, now(), 1 + n % ${slots}, 5, 'queue ' || n % 2, 'mail', 'null' FROM generate_series(1, ${many}) AS n`,
  `INSERT INTO lanekeeper.attempt_end (job, worker, attempt, slot, state, final)
   SELECT n, 1, 1, 1 + n % ${slots}, 'completed', 'completed' FROM generate_series(1, ${many / 2}) AS n`,
  `INSERT INTO lanekeeper.ticket (id, shelf, turn, size, jobs, attempt, failures, crashes, slot, priority, queue, kind)
   SELECT n, n % 2, 11, 1, int8multirange(int8range(n, n, '[]')), 0, 0, 0, 1 + n % ${slots}, 5, 'queue ' || n % 2, 'mail'
   FROM generate_series(${many / 2 + 1}, ${many - 10_000}) AS n`,
  `INSERT INTO lanekeeper.lease (id, worker, claimed_at, size, begun, jobs, attempt, failures, crashes, slot, priority, queue, kind)
   SELECT n, n / 10 % 50, now(), 10, true, int8multirange(int8range(n, n + 10)), 1, 0, 0, 1 + n / 10 % ${slots}, 5, 'queue', 'mail'
   FROM generate_series(${many - 9_999}, ${many}, 10) AS n`,
  "ANALYZE"
]

layer(layerSuite, { excludeTestServices: true })("Store in PostgreSQL", (it) => {
  suite({ it: it.effect, empty, elapse })

  it.effect("refuses an outcome under a lease left over from a job that was driven again since [LK-G1]", () =>
    Effect.gen(function* () {
      const sql = yield* PgClient
      const { claim, dead, finish, isAt, register, store, told } = makeWorld(yield* empty, () => Effect.void)
      const id = yield* dead()
      yield* store.redrive(id)
      const worker = yield* register
      const [claimed] = (yield* claim(worker)).jobs
      // In a transaction of the caller's own, where an ending leaves the lease for later.
      yield* sql.withTransaction(finish(worker, claimed!, died))
      yield* store.redrive(id)
      assert.strictEqual(yield* finish(worker, claimed!, released), "refused")
      yield* store.release(worker, [claimed!.lease])
      yield* isAt("ready", id)
      assert.lengthOf(yield* told(id), 2)
      assert.lengthOf((yield* claim(worker)).jobs, 1)
    })
  )

  it.effect("brings back what was claimed for a worker that was forgotten while the claim was on its way [LK-C2]", () =>
    Effect.gen(function* () {
      const sql = yield* PgClient
      const { isAt, running, store } = makeWorld(yield* empty, () => Effect.void)
      const { id, worker } = yield* running()
      yield* sql`DELETE FROM lanekeeper.worker WHERE id = ${worker}`
      const stale = yield* store.watch({ staleAfter: Duration.hours(1) })
      assert.deepStrictEqual(
        stale.map((row) => row.id),
        [worker]
      )
      assert.strictEqual((yield* store.rescueWorker(worker, { limit: 10, crashBudget: 3 })).ready, 1)
      yield* isAt("ready", id)
      assert.deepStrictEqual(yield* store.watch({ staleAfter: Duration.hours(1) }), [])
    })
  )

  it.effect("sends nothing that a server takes for dear enough to compile it, without jobs and with many", () =>
    Effect.gen(function* () {
      const sql = yield* PgClient
      const dear = Effect.map(estimates, (all) => {
        assert.isAtLeast(all.length, 70, "what the tests before this one sent")
        return all.filter(({ cost }) => cost > 100_000) // the default of jit_above_cost
      })
      const store = yield* empty
      assert.deepStrictEqual(yield* dear, [])
      for (const statement of grow) yield* sql.unsafe(statement)
      for (const place of places) yield* store.page({ place, limit: 1_000 })
      assert.deepStrictEqual(yield* dear, [])
    })
  )
})
