/** What the moves of many jobs share: they name the term they run under, and move nothing once a higher one exists. */
import type { PgClient } from "@effect/sql-pg/PgClient"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { UnderTerm } from "../Store.ts"

/** Runs a statement that ends with the term as its last parameter. */
export const underTerm =
  (sql: PgClient) =>
  <Row extends object>(statement: string, parameters: ReadonlyArray<unknown>) =>
    Effect.flatMap(UnderTerm, (term) =>
      sql.unsafe<Row>(statement, [...parameters, Option.isSome(term) ? term.value : null])
    )

/**
 * One row unless a higher term exists, held so that the next term waits for this statement; looked for only when
 * there is work, so that an idle lane writes nothing. After `found` and before what is consumed.
 */
export const allowing = (schema: string) => (term: string, found: string) =>
  `allowed AS MATERIALIZED (
      SELECT WHERE ${term}::bigint IS NULL
      UNION ALL
      SELECT FROM (
        SELECT FROM ${schema}.leader WHERE term = ${term} AND EXISTS (SELECT FROM ${found}) FOR KEY SHARE
      ) named
    )`
