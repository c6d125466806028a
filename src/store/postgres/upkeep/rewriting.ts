/** When a table is written anew without its dead rows: while a snapshot is pinned and no vacuum may take them out. */
import type { PgClient } from "@effect/sql-pg/PgClient"
import * as Effect from "effect/Effect"
import type { SqlError } from "effect/sql/SqlError"
import type { Emptied } from "../Slots.ts"
import { holdsTerm } from "./holdsTerm.ts"

/**
 * Bytes of a table or a shelf; below, hardly anybody notices what is dead in it. Where one row is updated over and over,
 * or is looked up by key, all its versions may be walked each time: some 400 of them cost 25 µs.
 */
export const worthwhile = (table: string) => (/^(lease|timed|wait|ticket)/.test(table) ? 262_144 : 65_536)
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

/** Whether somebody has a table open who stays: a vacuum, a dump, a long transaction. */
export const isHeldLong = (sql: PgClient, table: string) =>
  Effect.map(
    sql.unsafe<{ readonly held: boolean }>(`
      SELECT EXISTS (
        SELECT FROM pg_locks JOIN pg_stat_activity USING (pid)
        WHERE relation = '${table}'::regclass AND granted AND pid <> pg_backend_pid()
          AND xact_start < clock_timestamp() - interval '20 ms'
      ) AS held`),
    ([row]) => row!.held
  )

export const rewritingOn = (sql: PgClient, schema: string) => {
  const allowed = holdsTerm(sql, schema)
  const statement = `SELECT ${schema}.rewrite($1, $2) AS rewritten`

  return (table: string, leastBytes: number): Effect.Effect<Emptied, SqlError> =>
    sql.withTransaction(
      Effect.gen(function* () {
        if (!(yield* allowed)) return "used"
        const [row] = yield* sql.unsafe<{ readonly rewritten: boolean }>(statement, [table, leastBytes])
        return row!.rewritten ? "emptied" : "used"
      })
    )
}
