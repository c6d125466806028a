import { assert, describe, it } from "@effect/vitest"
import { PgClient } from "@effect/sql-pg/PgClient"
import * as Effect from "effect/Effect"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { migrations } from "../../src/store/postgres/migrations/index.ts"
import { eventually } from "../support/eventually.ts"
import { main, root, run, start } from "../support/processes.ts"
import { runScript } from "../support/runScript.ts"
import { randomName, TestDatabase } from "../support/TestDatabase.ts"

const lanekeeper = (args: ReadonlyArray<string>, env: Readonly<Record<string, string | undefined>> = {}) =>
  run(process.execPath, [main, ...args], { env: { LANEKEEPER_SCHEMA: undefined, ...env } })

const latest = migrations.length

describe("lanekeeper", () => {
  it.live("says its version and how it is used [LK-K1]", () =>
    Effect.gen(function* () {
      const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"))
      const [asked, helped] = yield* Effect.all([lanekeeper(["--version"]), lanekeeper(["--help"])], { concurrency: 2 })
      assert.include(asked.stdout, version)
      assert.include(helped.stdout, "migrate")
      assert.deepStrictEqual([asked.code, helped.code], [0, 0])
    })
  )

  it.live("fails on a command it does not know, and says so [LK-K1]", () =>
    Effect.gen(function* () {
      const { code, stderr, stdout } = yield* lanekeeper(["migrat"])
      assert.strictEqual(code, 1)
      assert.include(stderr + stdout, "migrat")
    })
  )
})

describe("lanekeeper migrate", () => {
  it.live("migrates the schema it is told to, and says what it did [LK-K1]", () =>
    Effect.gen(function* () {
      const { url } = yield* TestDatabase
      const first = yield* lanekeeper(["migrate"], { DATABASE_URL: url, LANEKEEPER_SCHEMA: "from_variable" })
      assert.strictEqual(first.code, 0, first.stderr)
      assert.match(first.stdout, new RegExp(`schema from_variable is (already )?at version ${latest}\n$`))
      const again = yield* lanekeeper(["migrate", "--schema", "from_variable"], { DATABASE_URL: url })
      assert.strictEqual(again.stdout, `Nothing to apply: schema from_variable is already at version ${latest}\n`)
    }).pipe(Effect.scoped, Effect.provide(TestDatabase.layerEmpty))
  )

  it.live("makes the group roles on request, and prints what it would run [LK-N1]", () =>
    Effect.gen(function* () {
      const { url } = yield* TestDatabase
      const sql = yield* PgClient
      const schema = randomName("r")
      const roles = ["producer", "worker", "maintenance", "viewer", "operator"].map((role) => `${schema}_${role}`)
      const printed = yield* lanekeeper(["migrate", "--sql", "--roles", "--schema", schema])
      for (const role of roles) assert.include(printed.stdout, `CREATE ROLE "${role}"`)
      yield* Effect.addFinalizer(() =>
        Effect.orDie(
          Effect.forEach(["DROP OWNED BY", "DROP ROLE"], (verb) => sql.unsafe(`${verb} ${roles.join(", ")}`))
        )
      )
      const made = yield* lanekeeper(["migrate", "--roles", "--schema", schema], { DATABASE_URL: url })
      assert.strictEqual(made.code, 0, made.stderr)
      assert.include(made.stdout, `Granted to the roles ${roles.join(", ")}`)
    }).pipe(Effect.scoped, Effect.provide(TestDatabase.layerEmpty))
  )

  it.live("prints the SQL without a database, and that SQL is enough [LK-K1] [LK-K5]", () =>
    Effect.gen(function* () {
      const { url } = yield* TestDatabase
      const printed = yield* lanekeeper(["migrate", "--sql"])
      assert.strictEqual(printed.code, 0, printed.stderr)
      const { code, stderr } = yield* runScript(url, printed.stdout)
      assert.strictEqual(code, 0, stderr)
      const after = yield* lanekeeper(["migrate"], { DATABASE_URL: url })
      assert.match(after.stdout, /^Nothing to apply/)
    }).pipe(Effect.scoped, Effect.provide(TestDatabase.layerEmpty))
  )

  it.live("reports all faults of its configuration together, without secrets, and exits with 78 [LK-M1]", () =>
    Effect.gen(function* () {
      const env = { DATABASE_URL: "mysql://app:secret@localhost/app", LANEKEEPER_SCHEMA: "pg_mine" }
      const both = yield* lanekeeper(["migrate"], env)
      assert.strictEqual(both.code, 78)
      assert.match(both.stderr, /^DATABASE_URL [^\n]+postgres:\/\/\nLANEKEEPER_SCHEMA is "pg_mine": [^\n]+\n$/)
      assert.notInclude(both.stderr, "secret")
      const missing = yield* lanekeeper(["migrate"])
      assert.strictEqual(missing.code, 78)
      assert.match(missing.stderr, /^DATABASE_URL is not set: [^\n]+\n$/)
    })
  )

  it.live("fails with one sentence, no stack and no password when the database is down [LK-K5]", () =>
    Effect.gen(function* () {
      const ended = yield* lanekeeper(["migrate"], { DATABASE_URL: "postgres://app:secret@127.0.0.1:1/app" })
      assert.strictEqual(ended.code, 1)
      assert.match(ended.stderr, /^PostgreSQL at 127\.0\.0\.1:1\/app is not available [^\n]+\n$/)
      assert.notInclude(ended.stderr + ended.stdout, "secret")
    })
  )

  it.live("stops waiting when it is told to, and leaves no session behind", () =>
    Effect.gen(function* () {
      const database = yield* TestDatabase
      const sql = yield* PgClient
      const holder = yield* database.connect
      yield* holder.query("SELECT pg_advisory_lock(hashtextextended('lanekeeper:migrate:held', 0))")
      const sessions = sql<{ waiting: boolean }>`
        SELECT wait_event_type = 'Lock' AS waiting FROM pg_stat_activity
        WHERE datname = current_database() AND application_name = 'lanekeeper migrate'
      `
      for (const [signal, code] of [
        ["SIGTERM", 143],
        ["SIGINT", 130]
      ] as const) {
        const env = { DATABASE_URL: database.url }
        const running = yield* start(process.execPath, [main, "migrate", "--schema", "held"], { env })
        yield* eventually(sessions, ([session]) => session?.waiting === true)
        yield* running.signal(signal)
        assert.deepInclude(yield* running.ended, { code, stderr: "" })
        yield* eventually(sessions, ({ length }) => length === 0)
      }
    }).pipe(Effect.scoped, Effect.provide(TestDatabase.layerEmpty))
  )
})
