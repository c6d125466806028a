/** What is told of jobs: the relay gives positions, and hands out what is to be delivered. */
import type { PgClient } from "@effect/sql-pg/PgClient"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { Event, EventId, EventType } from "../../domain/Event.ts"
import { makeId } from "../../domain/Job.ts"
import { refusals, type Store } from "../Store.ts"
import { int8s } from "./parameters.ts"
import { allowing, underTerm } from "./term.ts"

type Events = "events" | "tendEvents" | "takeEvents" | "eventsDelivered" | "eventsRefused"

interface Row {
  readonly id: EventId
  readonly position: bigint
  readonly at: Date
  readonly type: EventType
  readonly job: bigint
  readonly slot: number
  readonly kind: string
  readonly queue: string
  readonly attempt: number
  readonly details: Readonly<Record<string, unknown>> | null
}

const decode = ({ at, details, job, slot, ...row }: Row): Event => ({
  ...row,
  at: DateTime.fromDateUnsafe(at),
  job: makeId(Math.abs(slot), job),
  details: details ?? {}
})

export const telling = (sql: PgClient, schema: string): Pick<Store["Service"], Events> => {
  const allowed = allowing(schema)
  const columns = ["id", "position", "at", "type", "job", "slot", "kind", "queue", "attempt", "details"]
    .map((column) => `outbox.${column}`)
    .join(", ")

  // Whoever gives positions holds the mark until they are visible: the next ones are visible later.
  const tend = `
    WITH seen AS (
      UPDATE ${schema}.outbox_sink SET seen_at = clock_timestamp()
      WHERE $3 AND seen_at < clock_timestamp() - interval '1 minute'
    ), new AS MATERIALIZED (
      SELECT id FROM ${schema}.outbox WHERE position IS NULL ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED
    ), old AS MATERIALIZED (
      SELECT id FROM ${schema}.outbox WHERE at < statement_timestamp() - $2 * interval '1 ms' AND position IS NOT NULL
        AND (delivered_at IS NOT NULL OR NOT $3 AND NOT EXISTS (
          SELECT FROM ${schema}.outbox_sink WHERE seen_at > clock_timestamp() - $2 * interval '1 ms'
        ))
      ORDER BY at LIMIT $1 FOR UPDATE SKIP LOCKED
    ), found AS (
      SELECT FROM new UNION ALL SELECT FROM old
    ), ${allowed("$4", "found")}, mark AS (
      UPDATE ${schema}.outbox_mark SET last = last + n FROM (SELECT count(*) AS n FROM new) counted CROSS JOIN allowed
      WHERE n > 0 RETURNING last - n AS before
    ), numbered AS (
      UPDATE ${schema}.outbox SET position = before + place
      FROM mark CROSS JOIN (SELECT id, row_number() OVER (ORDER BY id) AS place FROM new) next
      WHERE outbox.id = next.id RETURNING 1
    ), forgotten AS (
      DELETE FROM ${schema}.outbox USING old, allowed WHERE outbox.id = old.id RETURNING 1
    )
    SELECT (SELECT count(*)::int FROM numbered) AS numbered, (SELECT count(*)::int FROM forgotten) AS forgotten,
      EXISTS (SELECT FROM numbered) OR EXISTS (SELECT FROM ${schema}.outbox WHERE delivered_at IS NULL AND position IS NOT NULL) AS undelivered`

  const take = `
    WITH due AS MATERIALIZED (
      SELECT id FROM ${schema}.outbox WHERE delivered_at IS NULL AND position IS NOT NULL
        AND (taken_at IS NULL OR taken_at <= statement_timestamp() - $2 * interval '1 ms')
      ORDER BY tries, position LIMIT $1 FOR UPDATE SKIP LOCKED
    ), ${allowed("$3", "due")}
    UPDATE ${schema}.outbox SET taken_at = clock_timestamp(), tries = tries + 1 FROM due, allowed WHERE outbox.id = due.id
    RETURNING ${columns}`

  return {
    events: ({ after, limit }) =>
      Effect.map(
        sql.unsafe<Row>(`SELECT ${columns} FROM ${schema}.outbox WHERE position > $1 ORDER BY position LIMIT $2`, [
          after,
          limit
        ]),
        (rows) => rows.map(decode)
      ),
    tendEvents: ({ keep, limit, sink }) =>
      Effect.map(
        underTerm(sql)<{ readonly numbered: number; readonly forgotten: number; readonly undelivered: boolean }>(tend, [
          limit,
          Duration.toMillis(keep),
          sink
        ]),
        ([row]) => row!
      ),
    takeEvents: ({ limit, stuckAfter }) =>
      Effect.map(underTerm(sql)<Row>(take, [limit, Duration.toMillis(stuckAfter)]), (rows) =>
        rows.map(decode).toSorted((a, b) => Number(a.position - b.position))
      ),
    eventsDelivered: (ids) =>
      Effect.asVoid(
        sql.unsafe(
          `UPDATE ${schema}.outbox SET delivered_at = clock_timestamp() WHERE id = ANY ($1) AND delivered_at IS NULL`,
          [int8s(ids)]
        )
      ),
    eventsRefused: ({ refused, untried }) =>
      Effect.asVoid(
        sql.unsafe(
          `UPDATE ${schema}.outbox SET taken_at = NULL, tries = tries - (id = ANY ($2))::int
           WHERE (id = ANY ($2) OR id = ANY ($1) AND tries < ${refusals}) AND delivered_at IS NULL AND taken_at IS NOT NULL`,
          [int8s(refused), int8s(untried)]
        )
      )
  }
}
