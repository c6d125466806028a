/** What an operator measures with, on a database that others use. */
import { assert, describe, it } from "@effect/vitest"
import { PgClient } from "@effect/sql-pg/PgClient"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import { Bench } from "../../src/cli/shapes.ts"
import { eventually } from "../support/eventually.ts"
import { main, run, start } from "../support/processes.ts"
import { randomName, TestDatabase, urlTo } from "../support/TestDatabase.ts"

const schemas = Effect.gen(function* () {
  const sql = yield* PgClient
  const found = yield* sql<{ readonly name: string }>`
    SELECT nspname::text AS name FROM pg_namespace WHERE nspname LIKE 'lanekeeper%'`
  return found.map(({ name }) => name)
})

const bench = Effect.fnUntraced(function* (url: string, ...args: ReadonlyArray<string>) {
  return yield* run(process.execPath, [main, "bench", ...args], { env: { DATABASE_URL: url } })
})

const test = (sentence: string, body: Effect.Effect<void, unknown, PgClient | TestDatabase | Scope.Scope>) =>
  it.live(sentence, () => body.pipe(Effect.scoped, Effect.provide(TestDatabase.layerEmpty)), 60_000)

const small = ["--seconds", "1", "--jobs", "1500", "--concurrency", "20", "--producers", "3", "--payload-bytes", "100"]

describe("lanekeeper bench", () => {
  test(
    "measures pickup, enqueue and run, says on what, and leaves nothing behind [LK-K1] [LK-K7]",
    Effect.gen(function* () {
      const { url } = yield* TestDatabase
      const { code, stderr, stdout } = yield* bench(url, ...small, "--json")
      assert.deepStrictEqual([code, stderr], [0, ""])
      const decode = Schema.decodeEffect(Schema.fromJsonString(Bench))
      const { measures, options, server } = yield* decode(stdout, { onExcessProperty: "error" })
      assert.deepStrictEqual(options, { jobs: 1500, seconds: 1, concurrency: 20, producers: 3, payloadBytes: 100 })
      assert.strictEqual(server.synchronousCommit, "on")
      assert.isAbove(server.roundTrip, 0)
      const [pickup, enqueue, many, ran] = measures
      assert.deepStrictEqual(
        measures.map(({ measure }) => measure),
        ["pickup", "enqueue", "enqueue-many", "run"]
      )
      assert.isAtMost(pickup!.median!, pickup!.of100!)
      assert.isAtMost(pickup!.of100!, pickup!.longest!)
      assert.isAbove(enqueue!.jobs, 0)
      assert.deepStrictEqual([many!.jobs, ran!.jobs, ran!.median], [1500, 1500, null])
      assert.isAbove(ran!.perSecond!, 0)
      assert.deepStrictEqual(yield* schemas, [])
    })
  )

  test(
    "prints a table, and drops its schema on Ctrl-C [LK-K1]",
    Effect.gen(function* () {
      const { url } = yield* TestDatabase
      const { stdout } = yield* bench(url, ...small)
      assert.match(stdout, /^measured +jobs +jobs\/s +median +99 of 100 +longest\n/)
      assert.match(stdout, /^claim, run and finish +1,500 +[\d,]+$/m)
      assert.match(stdout, /^PostgreSQL \d.*, fsync o.*, synchronous_commit on; a round trip takes .* ms/m)
      const env = { DATABASE_URL: url }
      const running = yield* start(process.execPath, [main, "bench", "--seconds", "60"], { env })
      const sql = yield* PgClient
      const working = sql`
        SELECT FROM pg_stat_activity WHERE application_name = 'lanekeeper bench producers' AND datname = current_database()`
      yield* eventually(working, (rows) => rows.length > 0)
      assert.lengthOf(yield* schemas, 1)
      yield* running.signal("SIGINT")
      assert.strictEqual((yield* running.ended).code, 130)
      assert.deepStrictEqual(yield* schemas, [])
    })
  )

  test(
    "refuses in a sentence where it may not make a schema, where connections are few, and where nothing answers [LK-K1]",
    Effect.gen(function* () {
      const sql = yield* PgClient
      const { name, url } = yield* TestDatabase
      const login = randomName("benchless")
      yield* sql.unsafe(`CREATE ROLE ${login} LOGIN PASSWORD 'only-for-tests'`)
      const refused = yield* bench(urlTo(name, { user: login, password: "only-for-tests" })).pipe(
        Effect.ensuring(Effect.orDie(sql.unsafe(`DROP ROLE ${login}`)))
      )
      assert.deepStrictEqual(
        [refused.code, refused.stderr],
        [
          1,
          `This login may not create a schema in ${name}, and a measurement needs one of its own: ` +
            `use a login that may, or grant it CREATE ON DATABASE ${name} for as long as it takes\n`
        ]
      )
      const crowded = yield* bench(url, "--producers", "1000")
      assert.match(crowded.stderr, /^The server has \d+ connections left, and 1010 are needed: ask for fewer producers/)
      const away = yield* bench("postgres://nobody@127.0.0.1:1/none")
      assert.deepStrictEqual(
        [away.code, away.stderr],
        [
          1,
          "PostgreSQL at 127.0.0.1:1/none is not available (connect ECONNREFUSED 127.0.0.1:1): start it, or correct DATABASE_URL\n"
        ]
      )
      assert.deepStrictEqual(yield* schemas, [])
    })
  )
})
