/** Logins that may maintain, and nothing else. */
import { PgClient } from "@effect/sql-pg/PgClient"
import * as Effect from "effect/Effect"
import * as Roles from "../../src/store/postgres/Roles.ts"
import { SchemaName } from "../../src/store/postgres/SchemaName.ts"
import { randomName, TestDatabase, urlTo } from "./TestDatabase.ts"

const password = "only-for-tests"

/** A login that is a member of the maintenance group role and of nothing else, with so many connections or any. */
export const maintainerWith = Effect.fnUntraced(function* (connections = -1) {
  const sql = yield* PgClient
  const { name } = yield* TestDatabase
  const schema = SchemaName.make("lanekeeper")
  const made = yield* Roles.make({ schema })
  const login = randomName("maintainer")
  yield* sql.unsafe(`CREATE ROLE "${login}" LOGIN PASSWORD '${password}' CONNECTION LIMIT ${connections}`)
  yield* sql.unsafe(`GRANT "${Roles.roleName(schema, "maintenance")}" TO "${login}"`)
  yield* Effect.addFinalizer(() =>
    // The group roles belong to the server and may be another run's too: only what this database gave them is taken.
    Effect.orDie(
      Effect.andThen(
        sql.unsafe(`DROP OWNED BY ${[...made, login].map((role) => `"${role}"`).join(", ")}`),
        sql.unsafe(`DROP ROLE "${login}"`)
      )
    )
  )
  return urlTo(name, { user: login, password })
})

export const maintainer = maintainerWith()
