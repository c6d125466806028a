/** What others do with these tables while they are worked on: publish them, dump them, read them for long. */
import { PgClient } from "@effect/sql-pg/PgClient"
import type { PgConnection } from "@effect/sql-pg/PgConnection"
import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Ref from "effect/Ref"
import type * as Scope from "effect/Scope"
import { execFile } from "node:child_process"
import { existsSync } from "node:fs"
import { isAbsolute, join } from "node:path"
import { promisify } from "node:util"
import { slotOf } from "../../../src/domain/Job.ts"
import { layerPostgres } from "../../../src/store/postgres/index.ts"
import { smallParts } from "../../../src/store/postgres/migrations/rewrite.ts"
import { Slots } from "../../../src/store/postgres/Slots.ts"
import { Store } from "../../../src/store/Store.ts"
import { TestDatabase } from "../../support/TestDatabase.ts"
import { completed, died, endOf, hours, job, makeWorld, parked, released, retried } from "../suiteWorld.ts"
import { elapse } from "../suitePostgres.ts"

const stores = Layer.merge(layerPostgres(), Slots.layer()).pipe(Layer.provideMerge(TestDatabase.layer))

const world = Effect.gen(function* () {
  const sql = yield* PgClient
  yield* sql`UPDATE lanekeeper.ring SET period = '10000 days', shelf_period = '10000 days'` // no test meets the end of a slot by accident
  const made = makeWorld(yield* Store, (time) => Effect.provideService(elapse(time), PgClient, sql))
  return { ...made, sql, slots: yield* Slots, database: yield* TestDatabase }
})

type Readers = Effect.Success<typeof world>

const test = (sentence: string, body: (world: Readers) => Effect.Effect<void, unknown, PgClient | Scope.Scope>) =>
  it.live(sentence, () => world.pipe(Effect.flatMap(body), Effect.scoped, Effect.provide(stores)))

/** Moves of every kind, with a look at where they led. */
const everyMove = Effect.fnUntraced(function* ({ claim, dead, elapse, enqueue, register, store }: Readers) {
  const worker = yield* register
  const [cancelled, ...ids] = yield* enqueue({}, {}, {}, {}, {}, {}, { runIn: hours(1) })
  yield* store.cancel(cancelled!, "not wanted")
  const first = yield* claim(worker)
  const endings = [completed, released, retried(hours(1)), parked("token"), died]
  assert.strictEqual(first.jobs.length, endings.length)
  yield* store.finish(
    worker,
    first.jobs.map((claimed, index) => endOf(claimed, endings[index]!))
  )
  yield* elapse(Duration.minutes(90))
  assert.deepInclude(yield* store.promote({ limit: 10 }), { ready: 2 })
  yield* store.resume("token", { _tag: "Resumed" })
  yield* store.redrive(first.jobs.at(-1)!.id)
  yield* store.beat(worker)
  const second = yield* claim(worker)
  yield* store.finish(
    worker,
    second.jobs.map((claimed) => endOf(claimed, completed))
  )
  for (const id of ids) assert.deepStrictEqual(yield* store.place(id), Option.some("completed"))
  assert.deepStrictEqual(yield* store.place(cancelled!), Option.some("cancelled"))
  assert.isTrue(yield* store.purge(yield* dead({ queue: "others" })))
})

/** As pg_dump does: one snapshot, a lock on every table before it reads any, then each table whole. */
const dump = Effect.fnUntraced(function* (
  connection: PgConnection,
  meanwhile: Effect.Effect<void, unknown> = Effect.void
) {
  yield* connection.query("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
  const { rows } = yield* connection.query(
    `SELECT format('%I.%I', nspname, relname) AS name FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
     WHERE relkind IN ('r', 'p') AND nspname = 'lanekeeper' ORDER BY pg_class.oid`
  )
  const tables = rows.map(({ name }) => String(name))
  yield* connection.query(`LOCK TABLE ${tables.join(", ")} IN ACCESS SHARE MODE`)
  for (const table of tables)
    yield* connection.query(`SELECT count(whole::text)::int FROM ${table} AS whole`, [], false)
  yield* meanwhile
  yield* connection.query("COMMIT")
})

/** The real one beside the server's binaries, where there is one: it refuses a server newer than itself. */
const pgDump = join(process.env["LANEKEEPER_TEST_POSTGRES"] ?? "", "pg_dump")
const dumpOf = (database: TestDatabase["Service"], connection: PgConnection) =>
  isAbsolute(pgDump) && existsSync(pgDump)
    ? Effect.promise(() => promisify(execFile)(pgDump, ["--file=/dev/null", database.url]))
    : dump(connection)

describe("Readers", () => {
  test("let every move pass under a publication of all tables [LK-D1]", (world) =>
    Effect.gen(function* () {
      const { sql } = world
      yield* sql`CREATE PUBLICATION everything FOR ALL TABLES`
      // It bites: a table without identity refuses to lose a row, whether anybody subscribes or not.
      yield* sql`CREATE TABLE nameless AS SELECT 1 AS one`
      const refused = yield* Effect.flip(sql`DELETE FROM nameless`)
      assert.include(String(refused.reason.cause), "does not have a replica identity")
      yield* everyMove(world)
    }))

  test("let every move pass while a dump stands between its locks and its commit, time and again [LK-D1]", (world) =>
    Effect.gen(function* () {
      const connection = yield* world.database.connect
      for (let time = 0; time < 3; time++) yield* dump(connection, everyMove(world))
    }))

  test("let every move pass beside a dump in a loop [LK-D1]", (world) =>
    Effect.gen(function* () {
      const connection = yield* world.database.connect
      const dumps = yield* Ref.make(0)
      const looping = yield* dumpOf(world.database, connection).pipe(
        Effect.tap(() => Ref.update(dumps, (count) => count + 1)),
        Effect.forever,
        Effect.forkScoped
      )
      while ((yield* Ref.get(dumps)) < 5) yield* everyMove(world)
      yield* Fiber.interrupt(looping)
    }))

  test("keep a slot from being emptied and nothing else, for as long as one reads it [LK-D1]", (world) =>
    Effect.gen(function* () {
      const { claim, database, enqueue, finish, register, slots, sql } = world
      const pastRetention = sql`UPDATE lanekeeper.attempt_end SET ended_at = ended_at - interval '2 days'`
      const worker = yield* register
      const [id] = yield* enqueue({})
      yield* finish(worker, (yield* claim(worker)).jobs[0]!, completed)
      const home = slotOf(id!)
      const reader = yield* database.connect
      yield* reader.query("BEGIN")
      yield* reader.query(`SELECT count(*)::int FROM lanekeeper.job_${home}, lanekeeper.attempt_end_${home}`)
      yield* reader.query("SELECT count(*)::int FROM lanekeeper.ticket")

      yield* pastRetention
      assert.strictEqual(yield* slots.emptySlot(home), "busy")
      assert.sameMembers(yield* Effect.forEach([0, 1], slots.emptyShelf), ["empty", "busy"])
      yield* everyMove(world)
      yield* reader.query("COMMIT")

      yield* pastRetention
      assert.strictEqual(yield* slots.emptySlot(home), "emptied")
      yield* everyMove(world)
    }))

  test("with one snapshot find a table written anew empty, and lose nothing by what they then do [LK-D1] [LK-E5]", (world) =>
    Effect.gen(function* () {
      const { database, enqueue, isAt, slots, store } = world
      const unique = { by: { key: "a" }, places: ["scheduled"], onConflict: "debounce" } as const
      const [kept] = yield* store.enqueueUnique([{ ...job({ runIn: hours(1) }), unique }])
      const reader = yield* database.connect
      const writer = yield* database.connect
      const count = (connection: PgConnection) =>
        Effect.map(
          connection.query("SELECT count(*)::int AS jobs FROM lanekeeper.timed"),
          ({ rows }) => rows[0]!["jobs"]
        )
      for (const connection of [reader, writer]) {
        yield* connection.query("BEGIN ISOLATION LEVEL REPEATABLE READ")
        yield* connection.query("SELECT count(*) FROM pg_class")
      }
      assert.strictEqual(yield* slots.rewrite("timed", 0), "emptied")
      assert.strictEqual(yield* count(reader), 0)
      yield* reader.query("COMMIT")
      assert.strictEqual(yield* count(reader), 1)
      // It cannot be told that the key's job is scheduled, and must not take it for gone.
      const second =
        "SELECT lanekeeper.enqueue('mail', delay => '2 hours', unique_key => 'a', on_conflict => 'debounce')"
      const refused = yield* Effect.flip(writer.query(second))
      assert.strictEqual(refused.reason._tag, "SerializationError")
      yield* writer.query("ROLLBACK")
      yield* writer.query(second)
      assert.strictEqual(yield* count(reader), 1)
      yield* isAt("scheduled", kept!.id)
      yield* enqueue({})
    }))

  test("find in their dump what was written anew after its snapshot and before its locks [LK-K9]", (world) =>
    Effect.gen(function* () {
      const { database, enqueue, slots } = world
      yield* enqueue({ runIn: hours(1) })
      const client = yield* database.client({ applicationName: "pg_dump", maxConnections: 1 })
      const dumper = Context.get(client as Context.Context<PgClient>, PgClient)
      yield* dumper.withTransaction(
        Effect.gen(function* () {
          yield* dumper`SET TRANSACTION ISOLATION LEVEL REPEATABLE READ`
          yield* dumper`SELECT count(*) FROM pg_class`
          assert.strictEqual(yield* slots.rewrite("timed", 0), "used")
          const [row] = yield* dumper<{ jobs: number }>`SELECT count(*)::int AS jobs FROM lanekeeper.timed`
          assert.strictEqual(row?.jobs, 1)
        })
      )
    }))

  test("begin their dump while a table is written anew, and it is left as it was [LK-K9]", (world) =>
    Effect.gen(function* () {
      const { database, enqueue, slots, sql } = world
      yield* enqueue({ runIn: hours(1) })
      const file = Effect.map(
        sql<{ file: string }>`SELECT pg_relation_filepath('lanekeeper.timed') AS file`,
        ([row]) => row!.file
      )
      const before = yield* file
      const written = yield* sql.withTransaction(
        Effect.gen(function* () {
          yield* sql`SELECT count(*) FROM pg_stat_activity` // as a transaction finds it first, it stays to it
          yield* database.client({ applicationName: "pg_dump", maxConnections: 1 }).pipe(
            Effect.flatMap((client) => Effect.provide(PgClient, client)),
            Effect.flatMap((dumper) => dumper`SELECT 1`)
          )
          return yield* slots.rewrite("timed", 0)
        })
      )
      assert.strictEqual(written, "busy")
      assert.strictEqual(yield* file, before)
    }))

  test("with one snapshot have an outcome refused whose lease was written anew, and its job runs again [LK-D1] [LK-G1]", (world) =>
    Effect.gen(function* () {
      const { claimed, end, id, worker } = yield* world.running()
      const rewriter = yield* world.database.connect
      const answer = yield* world.sql.withTransaction(
        Effect.gen(function* () {
          yield* world.sql`SET TRANSACTION ISOLATION LEVEL REPEATABLE READ`
          yield* world.sql`SELECT count(*) FROM pg_class`
          yield* rewriter.query("SELECT lanekeeper.rewrite('lease', 0)")
          return yield* end(completed)
        })
      )
      assert.strictEqual(answer, "refused")
      yield* world.isAt("running", id)
      // What a worker does at its second beat with a lease that it does not hold.
      assert.strictEqual((yield* world.store.release(worker, [claimed.lease])).ready, 1)
      const [again] = (yield* world.claim(worker)).jobs
      assert.strictEqual(yield* world.finish(worker, again!, completed), "accepted")
    }))

  test("let every move pass while tables are written anew in a loop, published [LK-D1]", (world) =>
    Effect.gen(function* () {
      const { slots, sql } = world
      yield* sql`CREATE PUBLICATION everything FOR ALL TABLES`
      const written = yield* Ref.make(0)
      yield* Effect.forEach(smallParts, ({ table }) => slots.rewrite(table, 0)).pipe(
        Effect.tap((found) => Ref.update(written, (count) => count + found.filter((one) => one === "emptied").length)),
        Effect.forever,
        Effect.forkScoped
      )
      while ((yield* Ref.get(written)) < 100) yield* everyMove(world)
    }))
})
