/** When a table is written anew without its dead rows: while a snapshot is pinned and no vacuum may take them out. */
import type { PgClient } from "@effect/sql-pg/PgClient"
import * as Effect from "effect/Effect"
import type { Emptied } from "../Slots.ts"
import { holdsTerm } from "./holdsTerm.ts"

export const worthwhile = 262_144 // bytes of a table or a shelf; below, hardly anybody notices what is dead in it
const pinnedFor = 5 // seconds: a dump that has its snapshot gets its locks before

/** Whether dead rows have to stay, or may have to: not every login is told what others do. */
export const pinned = `(
    SELECT NOT pg_has_role(current_user, 'pg_read_all_stats', 'USAGE')
      OR EXISTS (
        SELECT FROM pg_stat_activity
        WHERE (backend_xmin IS NOT NULL OR backend_xid IS NOT NULL) AND pid <> pg_backend_pid()
          AND (datname = current_database() OR backend_type = 'walsender')
          AND coalesce(xact_start < clock_timestamp() - interval '${pinnedFor} s', true)
      )
      OR EXISTS (SELECT FROM pg_prepared_xacts WHERE database = current_database())
      OR EXISTS (SELECT FROM pg_replication_slots WHERE xmin IS NOT NULL)
  )`

export const rewritingOn = (sql: PgClient, schema: string) => {
  const allowed = holdsTerm(sql, schema)
  const statement = `SELECT ${schema}.rewrite($1, $2) AS rewritten`

  return (table: string, leastBytes: number) =>
    sql.withTransaction(
      Effect.gen(function* () {
        if (!(yield* allowed)) return "used" satisfies Emptied
        const [row] = yield* sql.unsafe<{ readonly rewritten: boolean }>(statement, [table, leastBytes])
        return row!.rewritten ? "emptied" : "used"
      })
    )
}
