/** Walks over consumed tickets, beside the claims, to what lies below their marks (see Turns.ts). */
import type { PgClient } from "@effect/sql-pg/PgClient"
import * as Effect from "effect/Effect"
import { int2s, int8s, texts } from "./parameters.ts"
import type { Turn, Walk, Walked } from "./Turns.ts"

interface Row extends Turn {
  readonly mark: bigint | null
  readonly xmin: bigint
  readonly xmax: bigint
  readonly micros: bigint
}

export const walking = (sql: PgClient, schema: string) => {
  // The function reads with the snapshot of the statement: it is STABLE.
  const statement = `
    SELECT turn.*, NULL::bigint AS xmin, NULL::bigint AS xmax, NULL::bigint AS micros
    FROM ${schema}.turns($1, $2, $3, $4, $5, $6) AS turn
    UNION ALL
    SELECT NULL, NULL, NULL, NULL, pg_snapshot_xmin(pg_current_snapshot())::text::bigint,
      pg_snapshot_xmax(pg_current_snapshot())::text::bigint, (extract(epoch FROM clock_timestamp() - statement_timestamp()) * 1e6)::bigint`

  return Effect.fnUntraced(function* ({ kinds, queues, turns }: Walk) {
    const rows = yield* sql.unsafe<Row>(statement, [
      texts(kinds),
      texts(queues),
      texts(turns.map(({ queue }) => queue)),
      texts(turns.map(({ kind }) => kind)),
      int2s(turns.map(({ turn }) => turn)),
      int8s(turns.map(({ from }) => from))
    ])
    const { micros, xmax, xmin } = rows.at(-1)!
    const found = rows.flatMap(({ kind, mark, queue, turn }) =>
      mark === null ? [] : [{ queue, kind, turn, ticket: mark }]
    )
    return { found, xmin, xmax, micros: Number(micros) } satisfies Walked
  })
}
