import { assert, layer } from "@effect/vitest"
import { PgClient } from "@effect/sql-pg/PgClient"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { suite } from "./suite.ts"
import { elapse, empty, layerSuite } from "./suitePostgres.ts"
import { died, makeWorld, released } from "./suiteWorld.ts"

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
})
