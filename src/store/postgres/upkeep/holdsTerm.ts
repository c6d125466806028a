import type { PgClient } from "@effect/sql-pg/PgClient"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { UnderTerm } from "../../Store.ts"

/**
 * Whether the term, if one is named, is still the last. Asked within a transaction, which then holds it: the next term
 * waits for the commit.
 */
export const holdsTerm = (sql: PgClient, schema: string) =>
  Effect.flatMap(UnderTerm, (term) =>
    Option.isNone(term)
      ? Effect.succeed(true)
      : Effect.map(
          sql.unsafe(`SELECT FROM ${schema}.leader WHERE term = $1 FOR KEY SHARE`, [term.value]),
          (rows) => rows.length > 0
        )
  )
