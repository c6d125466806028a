import { assert, describe, it } from "@effect/vitest"
import { PgClient } from "@effect/sql-pg/PgClient"
import * as Effect from "effect/Effect"
import type { Scope } from "effect/Scope"
import { SqlClient } from "effect/sql/SqlClient"
import { migrations as released } from "../../../src/store/postgres/migrations/index.ts"
import * as Migrations from "../../../src/store/postgres/Migrations.ts"
import { SchemaName } from "../../../src/store/postgres/SchemaName.ts"
import { eventually } from "../../support/eventually.ts"
import { main, start } from "../../support/processes.ts"
import { runScript } from "../../support/runScript.ts"
import { randomName, TestDatabase, urlTo } from "../../support/TestDatabase.ts"

const people: Migrations.Migration = {
  version: 1,
  name: "people",
  oldest: 1,
  statements: (schema) => [
    `CREATE TABLE ${schema}.person (id int PRIMARY KEY)`,
    // what a naive splitter or quoter would trip over
    `CREATE FUNCTION ${schema}.greet() RETURNS text LANGUAGE plpgsql AS $sql$ BEGIN RETURN 'a;b $sql1$ c'; END; $sql$;`
  ]
}
const names: Migrations.Migration = {
  version: 2,
  name: "names",
  oldest: 1,
  statements: (schema) => [`ALTER TABLE ${schema}.person ADD COLUMN name text -- last`]
}
const renamed: Migrations.Migration = {
  version: 3,
  name: "renamed",
  oldest: 3,
  statements: (schema) => [`ALTER TABLE ${schema}.person RENAME COLUMN name TO full_name`]
}
const broken: Migrations.Migration = {
  version: 3,
  name: "broken",
  oldest: 1,
  statements: (schema) => [`CREATE TABLE ${schema}.half (id int)`, `ALTER TABLE ${schema}.missing ADD COLUMN id int`]
}

const schema = SchemaName.make("lanekeeper")

/** What stands in a schema: its columns, functions and applied migrations. */
const contents = Effect.fnUntraced(function* (name: string = schema) {
  const sql = yield* SqlClient
  const columns = yield* sql`
    SELECT table_name, column_name, data_type FROM information_schema.columns
    WHERE table_schema = ${name} ORDER BY table_name, column_name
  `
  const functions = yield* sql`
    SELECT proname, prosrc FROM pg_proc JOIN pg_namespace ON pg_namespace.oid = pronamespace
    WHERE nspname = ${name} ORDER BY proname
  `
  const applied =
    columns.length === 0 ? [] : yield* sql`SELECT version, name, oldest FROM ${sql(name)}.migration ORDER BY version`
  return { columns, functions, applied }
})

/** Waits until `count` sessions of this database wait for an advisory lock. */
const waiting = (count: number) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient
    const rows = sql<{ n: number }>`
      SELECT count(*)::int AS n FROM pg_locks
      WHERE locktype = 'advisory' AND NOT granted
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
    `
    yield* eventually(rows, ([row]) => row?.n === count)
  })

/** Takes the lock under which a schema is migrated, and answers how to let go of it. */
const holdLock = Effect.fnUntraced(function* (name: string = schema) {
  const connection = yield* (yield* TestDatabase).connect
  const key = "hashtextextended('lanekeeper:migrate:' || $1, 0)"
  yield* connection.query(`SELECT pg_advisory_lock(${key})`, [name])
  return { release: connection.query(`SELECT pg_advisory_unlock(${key})`, [name]) }
})

/** A test on a database of its own without any schema. What the body opens is closed before that is dropped. */
const live = <E>(name: string, body: Effect.Effect<void, E, TestDatabase | PgClient | SqlClient | Scope>) =>
  it.live(name, () => body.pipe(Effect.scoped, Effect.provide(TestDatabase.layerEmpty)))

describe("Migrations", () => {
  it("numbers the released ones from 1 without a gap, and lets none name a future version as its oldest [LK-K5]", () => {
    released.forEach(({ oldest, version }, index) => {
      assert.strictEqual(version, index + 1)
      assert.isAtMost(oldest, version)
    })
  })

  live(
    "applies what is missing, once, and says what it applied [LK-K5]",
    Effect.gen(function* () {
      const first = yield* Migrations.migrate({ migrations: [people] })
      assert.deepStrictEqual(first, { schema, version: 1, applied: [{ version: 1, name: "people" }] })
      const second = yield* Migrations.migrate({ migrations: [people, names] })
      assert.deepStrictEqual(second.applied, [{ version: 2, name: "names" }])
      const stands = yield* contents()
      const third = yield* Migrations.migrate({ migrations: [people, names] })
      assert.deepStrictEqual(third, { schema, version: 2, applied: [] })
      assert.deepStrictEqual(yield* contents(), stands)
      assert.strictEqual(yield* Migrations.check({ migrations: [people, names] }), 2)
    })
  )

  live(
    "keeps nothing of a run in which one statement fails, and names the migration [LK-K5]",
    Effect.gen(function* () {
      const error = yield* Effect.flip(Migrations.migrate({ migrations: [people, names, broken] }))
      assert.strictEqual(error._tag, "MigrationFailed")
      assert.include(error.message, "Migration 3 (broken)")
      assert.include(error.message, "missing")
      assert.deepStrictEqual(yield* contents(), { columns: [], functions: [], applied: [] })
      yield* Migrations.migrate({ migrations: [people, names] })
    })
  )

  live(
    "lets two processes migrate an empty database at once: both succeed, each migration runs once [LK-K5]",
    Effect.gen(function* () {
      const { name, url } = yield* TestDatabase
      const admin = yield* (yield* TestDatabase).connect
      // The default that would hide from the second what it waited for.
      yield* admin.query(`ALTER DATABASE ${name} SET default_transaction_isolation = 'repeatable read'`)
      const lock = yield* holdLock()
      const migrate = start(process.execPath, [main, "migrate"], { env: { DATABASE_URL: url } })
      const processes = yield* Effect.all([migrate, migrate])
      yield* waiting(2)
      yield* lock.release
      const [one, other] = yield* Effect.all([processes[0].ended, processes[1].ended])
      assert.deepStrictEqual([one.code, other.code], [0, 0], one.stderr + other.stderr)
      const { applied } = yield* contents()
      assert.deepStrictEqual(
        applied,
        released.map(({ name, oldest, version }) => ({ version, name, oldest }))
      )
      const applies = [one, other].filter((ended) => ended.stdout.startsWith("Applied"))
      assert.strictEqual(applies.length, Math.min(1, released.length))
    })
  )

  live(
    "migrates each schema of a database under a lock of its own [LK-B12]",
    Effect.gen(function* () {
      yield* holdLock("other")
      yield* Migrations.migrate({ migrations: [people] })
      yield* Migrations.migrate({ schema: "third", migrations: [people, names] })
      assert.strictEqual(yield* Migrations.check({ migrations: [people] }), 1)
      assert.strictEqual(yield* Migrations.check({ schema: "third", migrations: [people, names] }), 2)
      assert.match(
        (yield* Effect.flip(Migrations.migrate({ schema: "No Name" }))).message,
        /^"No Name" is no name for a schema/
      )
    })
  )

  live(
    "tells a process whose schema is missing or older to migrate [LK-K5]",
    Effect.gen(function* () {
      const missing = yield* Effect.flip(Migrations.check({ migrations: [people] }))
      assert.strictEqual(missing._tag, "SchemaMissing")
      assert.strictEqual(missing.message, "The database has no schema lanekeeper: run `lanekeeper migrate`")
      yield* Migrations.migrate({ migrations: [people] })
      const older = yield* Effect.flip(Migrations.check({ migrations: [people, names] }))
      assert.strictEqual(older._tag, "SchemaOlder")
      assert.strictEqual(
        older.message,
        "The schema lanekeeper is at version 1 and this process needs 2: run `lanekeeper migrate`"
      )
    })
  )

  live(
    "lets a process work on a newer schema that still carries it, and stops it on one that does not [LK-K5]",
    Effect.gen(function* () {
      yield* Migrations.migrate({ migrations: [people, names] })
      assert.strictEqual(yield* Migrations.check({ migrations: [people] }), 2)
      assert.deepStrictEqual(yield* Migrations.migrate({ migrations: [people] }), { schema, version: 2, applied: [] })

      yield* Migrations.migrate({ migrations: [people, names, renamed] })
      const ours = { migrations: [people, names] }
      for (const error of [yield* Effect.flip(Migrations.check(ours)), yield* Effect.flip(Migrations.migrate(ours))]) {
        assert.strictEqual(error._tag, "SchemaNewer")
        assert.include(error.message, "this one is built for 2: update this process")
      }
    })
  )

  live(
    "prints SQL that gives the same schema from any version, and can be run twice [LK-K5]",
    Effect.gen(function* () {
      const migrations = [people, names, renamed]
      const { url } = yield* TestDatabase
      yield* Migrations.migrate({ migrations })
      const wanted = yield* contents()
      for (const before of [[], [people], [people, names]]) {
        const printed = SchemaName.make(`printed_${before.length}`)
        if (before.length > 0) yield* Migrations.migrate({ schema: printed, migrations: before })
        const script = Migrations.toSql({ schema: printed, migrations })
        for (const _time of ["once", "again"]) {
          const { code, stderr } = yield* runScript(url, script)
          assert.strictEqual(code, 0, stderr)
          assert.deepStrictEqual(yield* contents(printed), wanted)
        }
      }
    })
  )

  live(
    "prints SQL of which nothing stays when a statement fails [LK-K5]",
    Effect.gen(function* () {
      const { url } = yield* TestDatabase
      const { code, stderr } = yield* runScript(url, Migrations.toSql({ migrations: [people, names, broken] }))
      assert.notStrictEqual(code, 0)
      assert.include(stderr, "missing")
      assert.deepStrictEqual(yield* contents(), { columns: [], functions: [], applied: [] })
    })
  )

  live(
    "refuses a server older than 15, run or printed [LK-K5]",
    Effect.gen(function* () {
      // No such server is at hand: a function of ours, found before the server's own, gives its answer.
      const database = yield* TestDatabase
      const { query } = yield* database.connect
      yield* query("CREATE SCHEMA past")
      yield* query(`
        CREATE FUNCTION past.current_setting(name text) RETURNS text LANGUAGE sql
        RETURN CASE name WHEN 'server_version_num' THEN '140012' ELSE '14.12' END
      `)
      yield* query(`ALTER DATABASE ${database.name} SET search_path = past, pg_catalog`)
      const client = yield* database.client()
      const migrated = yield* Effect.flip(Effect.provide(Migrations.migrate(), client))
      const checked = yield* Effect.flip(Effect.provide(Migrations.check(), client))
      for (const error of [migrated, checked]) {
        assert.strictEqual(error._tag, "DatabaseTooOld")
        assert.match(error.message, /is version 14\.12: use a server of version 15 or newer$/)
      }
      const { code, stderr } = yield* runScript(database.url, Migrations.toSql())
      assert.notStrictEqual(code, 0)
      assert.include(stderr, "PostgreSQL 14.12 is too old")
    })
  )

  live(
    "says what to grant to a login that may not create or read the schema, and needs no right when all is applied [LK-K5]",
    Effect.gen(function* () {
      const database = yield* TestDatabase
      const login = { user: randomName("lanekeeper_low"), password: "low" }
      const admin = yield* database.connect
      yield* Effect.acquireRelease(admin.query(`CREATE ROLE ${login.user} LOGIN PASSWORD '${login.password}'`), () =>
        Effect.orDie(Effect.andThen(admin.query(`DROP OWNED BY ${login.user}`), admin.query(`DROP ROLE ${login.user}`)))
      )
      const low = yield* database.client({ url: urlTo(database.name, login) })
      const migrate = Migrations.migrate({ migrations: [people] })
      const refused = yield* Effect.flip(Effect.provide(migrate, low))
      assert.strictEqual(refused._tag, "DatabasePermission")
      assert.match(refused.message, /permission denied for database .*: grant CREATE on the database to this user, or /)
      assert.notInclude(refused.message, login.password + "@")

      yield* migrate
      const unread = yield* Effect.flip(Effect.provide(Migrations.check({ migrations: [people] }), low))
      assert.strictEqual(unread._tag, "DatabasePermission")
      assert.include(unread.message, "grant USAGE on the schema lanekeeper")

      yield* admin.query(`GRANT USAGE ON SCHEMA lanekeeper TO ${login.user}`)
      yield* admin.query(`GRANT SELECT ON lanekeeper.migration TO ${login.user}`)
      assert.strictEqual(yield* Effect.provide(Migrations.check({ migrations: [people] }), low), 1)
      assert.deepStrictEqual((yield* Effect.provide(migrate, low)).applied, [])
    })
  )

  live(
    "says where the database is and what to do when it is down, missing, or refuses the password, and shows none [LK-K5]",
    Effect.gen(function* () {
      const database = yield* TestDatabase
      const cases = [
        ["postgres://app:secret@127.0.0.1:1/app", /at 127\.0\.0\.1:1\/app is not available .*: start it, or correct/],
        [urlTo("nowhere"), /database "nowhere" does not exist.*: create that database/],
        [urlTo(database.name, { user: "nobody_such", password: "secret" }), /: correct the user or the password/]
      ] as const
      for (const [url, message] of cases) {
        const error = yield* Effect.flip(Effect.provide(Migrations.migrate(), yield* database.client({ url })))
        assert.strictEqual(error._tag, "DatabaseUnavailable")
        assert.match(error.message, message)
        assert.notInclude(error.message, "secret")
      }
    })
  )
})
