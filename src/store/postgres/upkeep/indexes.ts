/**
 * Rebuilds indexes beside the work that goes on, one at a time. A rebuild that is cut short leaves an invalid index
 * behind, which costs every write: it is dropped before anything of its table is rebuilt again.
 */
import type { PgClient } from "@effect/sql-pg/PgClient"
import * as Effect from "effect/Effect"
import type { SqlError } from "effect/sql/SqlError"
import type { MendedIndex, Upkeep } from "../../Upkeep.ts"
import { rootMessage } from "../DatabaseError.ts"
import { holdsTerm } from "./holdsTerm.ts"

interface Index {
  readonly name: string
  readonly table: string
  readonly leftover: boolean
  readonly whole: boolean
  readonly bytes: number
}

const worthwhile = 8_388_608 // bytes; to read a smaller index costs nobody much, however empty it is
const airy = 300 // bytes a row: an index of ours takes some 40, so most of this one is empty
const longest = 1_073_741_824 // bytes: a larger index is not built before the statement's time is over

export const mending = (sql: PgClient, schema: string): Pick<Upkeep, "mendIndex"> => {
  const allowed = holdsTerm(sql, schema)
  const sick = `
    SELECT format('%I.%I', space.nspname, index.relname) AS name, base.relname AS table, index.relname ~ '_cc(new|old)\\d*$' AS leftover,
      index.relkind = 'I' AS whole, pg_relation_size(index.oid)::float8 AS bytes
    FROM pg_index JOIN pg_class AS index ON index.oid = indexrelid JOIN pg_class AS base ON base.oid = indrelid
    JOIN pg_namespace AS space ON space.oid = base.relnamespace
    WHERE format('%I', space.nspname) = $1 AND base.relkind IN ('r', 'p') AND (
      NOT indisvalid
      OR base.reltuples >= 0 AND pg_relation_size(index.oid) > greatest(${worthwhile}, base.reltuples * ${airy})
        AND NOT coalesce(base.reloptions @> '{autovacuum_enabled=false}', false)
    )
    ORDER BY leftover DESC, indisvalid, index.relname`

  const attempt = (index: string, outcome: "rebuilt" | "dropped", statement: Effect.Effect<unknown, SqlError>) =>
    statement.pipe(
      Effect.as<MendedIndex>({ index, outcome, reason: null }),
      Effect.catch((error) => Effect.succeed<MendedIndex>({ index, outcome: "left", reason: rootMessage(error) }))
    )
  const left = (index: string, reason: string): MendedIndex => ({ index, outcome: "left", reason })

  return {
    mendIndex: Effect.gen(function* () {
      // What follows cannot run in a transaction, and so cannot hold the term: it harms nobody to do it twice.
      if (!(yield* allowed)) return []
      const all = yield* sql.unsafe<Index>(sick, [`${schema.slice(1, -1)}`])
      const mended: Array<MendedIndex> = []
      const spoiled = new Set<string>()
      for (const { bytes, leftover, name, table, whole } of all) {
        if (leftover) {
          const dropped = yield* attempt(name, "dropped", sql.unsafe(`DROP INDEX CONCURRENTLY IF EXISTS ${name}`))
          if (dropped.outcome === "left") spoiled.add(table)
          mended.push(dropped)
        } else if (spoiled.has(table)) {
          mended.push(left(name, "what is left over on its table could not be dropped"))
        } else if (whole) {
          mended.push(left(name, "it lacks the index of a part of its table"))
        } else if (bytes > longest) {
          mended.push(left(name, "it is larger than a lane has time for: REINDEX INDEX CONCURRENTLY"))
        } else {
          mended.push(yield* attempt(name, "rebuilt", sql.unsafe(`REINDEX INDEX CONCURRENTLY ${name}`)))
          return mended
        }
      }
      return mended
    })
  }
}
