/**
 * Lifts tickets that have waited too long behind better ones. A ticket keeps its number, and with it its turn: it comes
 * before everything younger of the level it is lifted to. Better is what has an earlier turn: a fresh job stands behind
 * those of its own priority that come back again and again.
 */
import type { PgClient } from "@effect/sql-pg/PgClient"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { Upkeep } from "../../Upkeep.ts"
import { allowing, underTerm } from "../term.ts"

export const lifting = (sql: PgClient, schema: string): Pick<Upkeep, "lift"> => {
  const allowed = allowing(schema)
  const rowsUnderTerm = underTerm(sql)

  const level =
    "greatest(0, 9 - floor(extract(epoch FROM statement_timestamp() - ready_at) * 1000 / $1::float8))::smallint"
  const lift = `
    WITH best AS MATERIALIZED (
      SELECT queue, min(turn) AS turn FROM ${schema}.ticket
      WHERE queue NOT IN (SELECT name FROM ${schema}.queue WHERE paused_at IS NOT NULL) GROUP BY queue
    ), late AS MATERIALIZED (
      SELECT ticket.id, ticket.shelf, ${level} AS level FROM ${schema}.ticket
      JOIN best ON best.queue = ticket.queue AND best.turn < ticket.turn
      WHERE ticket.priority > ${level}
      ORDER BY ticket.id LIMIT $2 FOR UPDATE OF ticket SKIP LOCKED
    ), ${allowed("$3", "late")}, lifted AS (
      UPDATE ${schema}.ticket SET priority = late.level, turn = turn % 2 + 2 * late.level FROM late, allowed
      WHERE ticket.id = late.id AND ticket.shelf = late.shelf RETURNING ticket.id
    )
    SELECT count(*)::int AS lifted FROM lifted`

  return {
    lift: ({ limit, step }) =>
      Effect.map(
        rowsUnderTerm<{ readonly lifted: number }>(lift, [Duration.toMillis(step), limit]),
        ([row]) => row!.lifted
      )
  }
}
