/**
 * The plans, by what they cost: buffers and locks of the store's own statements over many jobs.
 *
 * A plan is kept by its session. One that was made while the tables were empty has to do as well as one made later, so
 * a session of each kind is measured.
 */
import { PgClient } from "@effect/sql-pg/PgClient"
import { assert, layer } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import { makeId, numberOf } from "../../../src/domain/Job.ts"
import { layerPostgres } from "../../../src/store/postgres/index.ts"
import { shelves } from "../../../src/store/postgres/migrations/jobs/tables.ts"
import { walking } from "../../../src/store/postgres/walking.ts"
import { type Claimed, Store } from "../../../src/store/Store.ts"
import { eventually } from "../../support/eventually.ts"
import { TestDatabase } from "../../support/TestDatabase.ts"
import { completed, endOf, job } from "../suiteWorld.ts"

const ready = 300_000
const finished = 1_000_000

/** One row a job, and neighbours in different queues: the dearest form they can stand in. */
const fill = [
  `INSERT INTO lanekeeper.job (id, ticket, enqueued_at, slot, priority, queue, kind, payload)
   SELECT n, n, now(), 1 + n / 100000, 5, 'post', 'mail', 'null' FROM generate_series(1, ${finished - 1}) AS n`,
  `INSERT INTO lanekeeper.attempt_end (job, worker, attempt, slot, state, final)
   SELECT n, 1, 1, 1 + n / 100000, 'completed', 'completed' FROM generate_series(1, ${finished - 1}) AS n`,
  `INSERT INTO lanekeeper.job (id, ticket, enqueued_at, slot, priority, queue, kind, payload)
   SELECT n, n, now(), 12, 5, 'queue ' || n % 2, 'mail', 'null' FROM generate_series(${finished}, ${finished + ready - 1}) AS n`,
  `INSERT INTO lanekeeper.ticket (id, shelf, turn, size, jobs, attempt, failures, crashes, slot, priority, queue, kind)
   SELECT n, n / 100000 % ${shelves}, 11, 1, int8multirange(int8range(n, n, '[]')), 0, 0, 0, 12, 5, 'queue ' || n % 2, 'mail'
   FROM generate_series(${finished}, ${finished + ready - 1}) AS n`,
  `SELECT setval('lanekeeper.job_number', ${finished + ready}), setval('lanekeeper.pointer_number', ${finished + ready})`
]

/** A store on one connection, so that what it did can be asked for there. */
const session = Effect.fnUntraced(function* (database: TestDatabase["Service"]) {
  const client = yield* database.client({ maxConnections: 1 })
  const sql = Context.get(client as Context.Context<PgClient>, PgClient)
  const built = yield* Layer.build(layerPostgres().pipe(Layer.provide(Layer.succeed(PgClient, sql))))
  const store = Context.get(built, Store)
  const worker = yield* store.register("worker")
  const walk = walking(sql, "lanekeeper")
  return {
    store,
    /** From this ticket on, where fresh jobs of the usual priority stand. */
    walk: (from: bigint) => {
      const turn = { key: "", queue: "queue 0", kind: "mail", turn: 11, from, mark: from }
      return walk({ queues: [turn.queue], kinds: [turn.kind], whole: false, turns: [turn] })
    },
    worker,
    claim: (limit: number, queue = "queue 0") => store.claim({ worker, kinds: ["mail"], queues: [{ queue, limit }] }),
    finish: (jobs: ReadonlyArray<Claimed>) =>
      store.finish(
        worker,
        jobs.map((claimed) => endOf(claimed, completed))
      ),
    /** What a move reads and holds, in a transaction of its own. */
    cost: <A, E>(move: Effect.Effect<A, E>) =>
      sql.withTransaction(
        Effect.gen(function* () {
          const count = sql<{ buffers: number; visited: number }>`
            SELECT sum(pg_stat_get_xact_blocks_fetched(oid))::int AS buffers,
              (sum(pg_stat_get_xact_tuples_returned(oid)) FILTER (WHERE relkind = 'i' AND relname LIKE 'ticket%'))::int AS visited
            FROM pg_class WHERE relnamespace = 'lanekeeper'::regnamespace`
          const [before] = yield* count
          const result = yield* move
          const [after] = yield* count
          const locks = yield* sql<{ name: string }>`
            SELECT DISTINCT relname AS name FROM pg_locks JOIN pg_class ON pg_class.oid = relation
            WHERE pid = pg_backend_pid() AND relnamespace = 'lanekeeper'::regnamespace AND relkind <> 'S' ORDER BY relname`
          const held = locks.map(({ name }) => name)
          return {
            result,
            buffers: after!.buffers - before!.buffers,
            visited: after!.visited - before!.visited,
            locks: held.length,
            /** The slots of the ring whose tables are locked. */
            slots: [...new Set(held.flatMap((name) => /^(?:job|attempt_end)_(\d+)/.exec(name)?.[1] ?? []))]
          }
        })
      )
  }
})

type Session = Effect.Success<ReturnType<typeof session>>

class Filled extends Context.Service<
  Filled,
  {
    /** A session whose plans were made when there were no jobs. */
    readonly early: Session
    /** Tells the planner what there is by now, and opens a session that plans with it. */
    readonly open: Effect.Effect<Session, unknown, PgClient | Scope.Scope>
    readonly database: TestDatabase["Service"]
  }
>()("lanekeeper/test/Filled") {
  static readonly layer = Layer.effect(
    this,
    Effect.gen(function* () {
      const database = yield* TestDatabase
      const admin = yield* database.connect
      const emptied = ["lease", "ticket_0", "ticket_1", "attempt_end_12", "job_12"]
      for (const table of emptied) {
        // Statistics that say there is nothing mislead a planner more than none, and nobody must correct them here.
        yield* admin.query(`ALTER TABLE lanekeeper.${table} SET (autovacuum_enabled = false)`)
        yield* admin.query(`VACUUM (ANALYZE) lanekeeper.${table}`)
      }
      const early = yield* session(database)
      for (let time = 0; time < 3; time++) {
        yield* early.store.enqueue(Array.from({ length: 40 }, () => job({ queue: "queue 0" })))
        for (const limit of [3, 40]) yield* early.finish((yield* early.claim(limit)).jobs)
      }
      for (const statement of fill) yield* admin.query(statement)
      const open = Effect.gen(function* () {
        for (const table of emptied) yield* admin.query(`ANALYZE lanekeeper.${table}`)
        return yield* session(database)
      })
      return { early, open, database }
    })
  ).pipe(Layer.provideMerge(TestDatabase.layer))
}

/** What a claim touches beside a slot: worker, queue, lease and the shelves, with all their indexes. */
const most = { buffers: 2_500, locks: 24 }

layer(Filled.layer, { excludeTestServices: true, timeout: "60 seconds" })(
  `Plans with ${ready} ready and ${finished} finished jobs`,
  (it) => {
    /** One of each move, and what it cost. */
    const spend = Effect.fnUntraced(function* ({ claim, cost, finish, store }: Session) {
      const claimed = yield* cost(claim(100))
      const ended = yield* cost(finish(claimed.result.jobs))
      const enqueued = yield* cost(store.enqueue(Array.from({ length: 100 }, () => job({ queue: "elsewhere" }))))
      assert.strictEqual(claimed.result.jobs.length, 100)
      assert.deepStrictEqual([...new Set(ended.result)], ["accepted"])
      return { claimed, ended, enqueued }
    })
    const isLittle = ({ claimed, ended, enqueued }: Effect.Success<ReturnType<typeof spend>>) => {
      for (const { buffers, locks } of [claimed, ended, enqueued]) {
        assert.isAtMost(buffers, most.buffers)
        assert.isAtMost(locks, most.locks)
      }
      assert.deepStrictEqual([claimed.slots, ended.slots], [["12"], ["12"]])
      assert.strictEqual(enqueued.slots.length, 1)
    }

    it.effect("read little and lock one slot, planned when there were none [LK-F4]", () =>
      Effect.gen(function* () {
        const { early } = yield* Filled
        isLittle(yield* spend(early))
      })
    )

    it.effect("read little and lock one slot, planned over many [LK-F4]", () =>
      Effect.gen(function* () {
        const { open } = yield* Filled
        isLittle(yield* spend(yield* open))
      })
    )

    it.effect("look at a few tickets where each holds many jobs [LK-F4]", () =>
      Effect.gen(function* () {
        const { early } = yield* Filled
        const call = Array.from({ length: 8_000 }, () => job({ queue: "bulk" }))
        for (let time = 0; time < 5; time++) yield* early.store.enqueue(call)
        for (const limit of [500, 100]) {
          const { result, visited } = yield* early.cost(early.claim(limit, "bulk"))
          assert.strictEqual(result.jobs.length, limit)
          assert.isAtMost(visited, 30)
        }
      })
    )

    it.effect("read a page of what is ready or over without the rest", () =>
      Effect.gen(function* () {
        const { early, open } = yield* Filled
        const call = Array.from({ length: 8_000 }, () => job({ queue: "bulk pages" }))
        const bulk = yield* early.store.enqueue(call)
        const numbers = (from: number, step: number) =>
          Array.from({ length: 100 }, (_, index) => BigInt(from - step * index))
        const last = finished + ready - 1
        const middle = last - 100_001
        for (const session of [early, yield* open]) {
          for (const [options, expected] of [
            [{ place: "ready" }, bulk.slice(-100).toReversed().map(numberOf)],
            [{ place: "ready", queue: "queue 1" }, numbers(last, 2)],
            [{ place: "ready", after: makeId(12, BigInt(middle)) }, numbers(middle - 1, 1)],
            [{ place: "ready", queue: "queue 1", after: makeId(12, BigInt(middle)) }, numbers(middle - 1, 2)],
            [{ place: "completed", after: makeId(6, 500_000n) }, numbers(499_999, 1)],
            [{ place: "completed", queue: "post", after: makeId(6, 500_000n) }, numbers(499_999, 1)]
          ] as const) {
            const { buffers, result } = yield* session.cost(session.store.page({ ...options, limit: 100 }))
            assert.deepStrictEqual(
              result.map(({ id }) => numberOf(id)),
              expected
            )
            assert.isAtMost(buffers, 4_000)
          }
        }
      })
    )

    it.effect("read no more under a pinned snapshot, however much was consumed under it [LK-D1]", () =>
      Effect.gen(function* () {
        const { database, early, open } = yield* Filled
        const before = (yield* spend(early)).claimed.buffers
        const report = yield* database.connect
        yield* report.query("BEGIN ISOLATION LEVEL REPEATABLE READ")
        yield* report.query("SELECT count(*)::int FROM lanekeeper.queue")
        const late = yield* open
        const consumed = 40_000
        for (let jobs = 0; jobs < consumed; jobs += 1_000) yield* late.finish((yield* late.claim(1_000)).jobs)

        for (const session of [late, early]) {
          // Claims walk over what was consumed until that has proved dear, and one in a second goes on to, beside them.
          const costs = yield* eventually(spend(session), ({ claimed }) => claimed.visited < consumed / 10)
          isLittle(costs)
          // To look at each of what was consumed costs half as much again, and far more time than that.
          assert.isAtMost(costs.claimed.buffers, 1.2 * before)
        }

        // So does a walk from what is settled, where a whole one reads all that was consumed.
        const whole = yield* late.cost(late.walk(0n))
        assert.isAtLeast(whole.visited, consumed)
        const [{ ticket } = assert.fail("there is nothing left")] = whole.result.found
        const settled = yield* late.cost(late.walk(ticket))
        assert.deepStrictEqual(settled.result.found, whole.result.found)
        assert.isAtMost(settled.visited, 10)
        assert.isAtMost(settled.buffers, 50)
        yield* report.query("COMMIT")
      })
    )
  }
)
