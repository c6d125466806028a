/** A role against a database it cannot work on: the right thing and one sentence, whatever is wrong. */
import { assert, describe, it } from "@effect/vitest"
import { PgClient } from "@effect/sql-pg/PgClient"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { type AddressInfo, createServer } from "node:net"
import { main, run, start } from "../support/processes.ts"
import { TestDatabase, urlTo } from "../support/TestDatabase.ts"

const maintenance = Effect.fnUntraced(function* (url: string) {
  const { code, stderr } = yield* run(process.execPath, [main, "maintenance"], { env: { DATABASE_URL: url } })
  return [code, stderr.trimEnd()] as const
})

const test = (
  sentence: string,
  body: Effect.Effect<void, unknown, PgClient | TestDatabase | Scope.Scope>,
  ground = TestDatabase.layer
) => it.live(sentence, () => body.pipe(Effect.scoped, Effect.provide(ground)), 60_000)

// At the same time, because one of them waits for nothing to happen for seconds.
describe.concurrent("lanekeeper maintenance", () => {
  test(
    "says to migrate a database that is empty, and one that was migrated by an older release [LK-K5, LK-A14]",
    Effect.gen(function* () {
      const sql = yield* PgClient
      const { url } = yield* TestDatabase
      yield* sql`DELETE FROM lanekeeper.migration WHERE version > 2`
      const [code, sentence] = yield* maintenance(url)
      assert.strictEqual(code, 1)
      assert.match(
        sentence,
        /^The schema lanekeeper is at version 2 and this process needs \d+: run `lanekeeper migrate`$/
      )
      yield* sql`DROP SCHEMA lanekeeper CASCADE`
      assert.deepStrictEqual(yield* maintenance(url), [
        1,
        "The database has no schema lanekeeper: run `lanekeeper migrate`"
      ])
    })
  )

  test(
    "works on a schema of a newer release that still carries it, and says to update it on one that does not [LK-K5]",
    Effect.gen(function* () {
      const sql = yield* PgClient
      const { url } = yield* TestDatabase
      yield* sql`INSERT INTO lanekeeper.migration (version, name, oldest) VALUES (98, 'a later one', 1)`
      const running = yield* start(process.execPath, [main, "maintenance"], { env: { DATABASE_URL: url } })
      yield* running.says("Leading")
      yield* running.signal("SIGINT")
      assert.strictEqual((yield* running.ended).code, 0)
      yield* sql`INSERT INTO lanekeeper.migration (version, name, oldest) VALUES (99, 'one that breaks', 99)`
      const [code, sentence] = yield* maintenance(url)
      assert.strictEqual(code, 1)
      assert.match(
        sentence,
        /^The schema lanekeeper is at version 99, which works .* 99 or newer, .*: update this process$/
      )
    })
  )

  test(
    "says what to tell a pooler that refuses what connections set [LK-A14]",
    Effect.gen(function* () {
      const fields = ["SFATAL", "C08P01", "Munsupported startup parameter: jit"].map((field) => `${field}\0`).join("")
      const length = Buffer.alloc(4)
      length.writeInt32BE(fields.length + 5)
      const pooler = createServer((socket) =>
        socket.once("data", () => socket.end(Buffer.concat([Buffer.from("E"), length, Buffer.from(`${fields}\0`)])))
      )
      yield* Effect.acquireRelease(
        Effect.callback<void>((done) => void pooler.listen(0, "127.0.0.1", () => done(Effect.void))),
        () => Effect.sync(() => void pooler.close())
      )
      const { port } = pooler.address() as AddressInfo
      const [code, sentence] = yield* maintenance(`postgres://app@127.0.0.1:${port}/app`)
      assert.strictEqual(code, 1)
      assert.match(sentence, /\(unsupported startup parameter: jit\): let PgBouncer pass it over/)
    })
  )

  test(
    "says which database is not there, and which server [LK-A14]",
    Effect.gen(function* () {
      const [code, sentence] = yield* maintenance(urlTo("no_such_database"))
      assert.strictEqual(code, 1)
      assert.match(
        sentence,
        /^PostgreSQL at .*\/no_such_database is not available \(.*\): create that database, or correct/
      )
      assert.deepStrictEqual(yield* maintenance("postgres://127.0.0.1:1/none"), [
        1,
        "PostgreSQL at 127.0.0.1:1/none is not available (No username configured): name a user in DATABASE_URL: postgres://user@…"
      ])
      assert.deepStrictEqual(yield* maintenance("postgres://nobody@127.0.0.1:1/none"), [
        1,
        "PostgreSQL at 127.0.0.1:1/none is not available (connect ECONNREFUSED 127.0.0.1:1): start it, or correct DATABASE_URL"
      ])
    })
  )

  test(
    "says that a database takes no writes [LK-A14]",
    Effect.gen(function* () {
      const sql = yield* PgClient
      const { name, url } = yield* TestDatabase
      yield* sql.unsafe(`ALTER DATABASE ${name} SET default_transaction_read_only = on`)
      const [code, sentence] = yield* maintenance(url)
      assert.strictEqual(code, 1)
      assert.strictEqual(
        sentence,
        "The recovery at start failed in rescue-stale (cannot execute SELECT in a read-only transaction: " +
          "point DATABASE_URL at the primary, or set default_transaction_read_only to off)"
      )
    })
  )
})
