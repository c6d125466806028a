import { assert, describe, it, layer } from "@effect/vitest"
import { PgClient } from "@effect/sql-pg/PgClient"
import * as Effect from "effect/Effect"
import * as Migrations from "../../src/store/postgres/Migrations.ts"
import { TestDatabase } from "./TestDatabase.ts"

const databases = Effect.gen(function* () {
  const sql = yield* PgClient
  const rows = yield* sql<{ name: string }>`SELECT datname AS name FROM pg_database`
  return rows.map(({ name }) => name)
})

describe("TestDatabase", () => {
  it.live("gives each scope a migrated database of its own, and drops it though others are connected", () =>
    Effect.gen(function* () {
      const outer = yield* TestDatabase
      const inner = yield* Effect.gen(function* () {
        const database = yield* TestDatabase
        yield* Migrations.check()
        const other = yield* database.connect
        yield* other.query("CREATE TABLE mine (id int)")
        return database.name
      }).pipe(Effect.provide(TestDatabase.layer, { local: true }))
      assert.notStrictEqual(inner, outer.name)
      assert.include(yield* databases, outer.name)
      assert.notInclude(yield* databases, inner)
    }).pipe(Effect.provide(TestDatabase.layerEmpty))
  )

  layer(TestDatabase.layer, { excludeTestServices: true })("shared by a suite", (it) => {
    it.effect("keeps the database from one test", () =>
      Effect.gen(function* () {
        const sql = yield* PgClient
        yield* sql`CREATE TABLE kept (id int)`
      })
    )

    it.effect("to the next", () =>
      Effect.gen(function* () {
        const sql = yield* PgClient
        assert.deepStrictEqual(yield* sql`SELECT id FROM kept`, [])
      })
    )
  })
})
