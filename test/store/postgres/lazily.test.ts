import { PgClient } from "@effect/sql-pg/PgClient"
import { assert, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type { SqlError } from "effect/sql/SqlError"
import { Store } from "../../../src/store/Store.ts"
import { layerSuite } from "../suitePostgres.ts"
import { completed, endOf, job } from "../suiteWorld.ts"

/** Writes down at each commit whether it waits for the disk. */
const watchCommits = [
  `CREATE TABLE waits (on_what text, commit text)`,
  `CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$
  BEGIN
    INSERT INTO waits VALUES (TG_TABLE_NAME, current_setting('synchronous_commit'));
    RETURN NULL;
  END
  $$`,
  ...["lease", "worker", "attempt_end", "ticket"].map(
    (table) => `CREATE CONSTRAINT TRIGGER note AFTER INSERT OR UPDATE ON lanekeeper.${table}
      DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION note()`
  )
]

layer(layerSuite, { excludeTestServices: true })("What a commit waits for", (it) => {
  it.effect("a claim, a begin and a beat wait for no disk by themselves, an enqueue and an outcome do [LK-P1]", () =>
    Effect.gen(function* () {
      const sql = yield* PgClient
      const store = yield* Store
      for (const statement of watchCommits) yield* sql.unsafe(statement)
      const during = <A>(move: Effect.Effect<A, SqlError>) =>
        Effect.gen(function* () {
          yield* sql`DELETE FROM waits`
          const answer = yield* move
          const rows = yield* sql<{ commit: string }>`SELECT DISTINCT commit FROM waits`
          return [answer, rows.map(({ commit }) => commit).join()] as const
        })
      const [worker, registered] = yield* during(store.register("worker"))
      const [, enqueued] = yield* during(store.enqueue([job(), job(), job()]))
      const claim = (limit: number, ahead: number) =>
        store.claim({ worker, kinds: ["mail"], queues: [{ queue: "post", limit, ahead }] })
      const [{ jobs }, claimed] = yield* during(claim(1, 1))
      const [begun, began] = yield* during(store.begin(worker, [jobs[1]!.lease]))
      const [, beaten] = yield* during(store.beat(worker))
      const [, finished] = yield* during(store.finish(worker, [endOf(jobs[0]!, completed)]))
      assert.strictEqual(begun.length, 1)
      assert.deepStrictEqual([registered, enqueued, finished], ["on", "on", "on"])
      assert.deepStrictEqual([claimed, began, beaten], ["off", "off", "off"])

      const inOne = Effect.gen(function* () {
        const { jobs } = yield* claim(0, 1)
        yield* store.begin(worker, [jobs[0]!.lease])
        return yield* store.beat(worker)
      })
      const [, together] = yield* during(Effect.orDie(sql.withTransaction(inOne)))
      assert.strictEqual(together, "on")
      const [session] = yield* sql<{ synchronous_commit: string }>`SHOW synchronous_commit`
      assert.strictEqual(session?.synchronous_commit, "on")
    })
  )
})
