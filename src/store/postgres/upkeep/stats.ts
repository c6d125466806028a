/**
 * Counts jobs by queue and place, once for everybody, and keeps the figures.
 *
 * What stands somewhere is counted by its pointer. What ended is not counted at all: as many have finished as were there
 * and came, and are not there any more.
 */
import type { PgClient } from "@effect/sql-pg/PgClient"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { QueueStats, Upkeep } from "../../Upkeep.ts"
import { allowing, underTerm } from "../term.ts"

interface Counted extends Pick<QueueStats, "enqueued" | "finished"> {
  readonly depth: QueueStats["depth"]
  readonly oldest: number | null
}

export const counting = (sql: PgClient, schema: string): Pick<Upkeep, "takeStats" | "stats"> => {
  const allowed = allowing(schema)
  const rowsUnderTerm = underTerm(sql)

  const ended = `(SELECT count(*) FROM ${schema}.members(${schema}.ended(lease.jobs, lease.attempt, lease.slot)))`
  const depth = `
      SELECT queue, 'ready' AS place, sum(size) AS jobs, min(ready_at) AS since FROM ${schema}.ticket GROUP BY queue
      UNION ALL SELECT queue, 'scheduled', count(*), NULL FROM ${schema}.timed GROUP BY queue
      UNION ALL SELECT queue, 'waiting', count(*), NULL FROM ${schema}.wait GROUP BY queue
      UNION ALL SELECT queue, 'running', sum(size - ${ended}), NULL FROM ${schema}.lease GROUP BY queue
      UNION ALL SELECT queue, 'dead', count(*), NULL FROM ${schema}.dead GROUP BY queue`
  const of = (place: string) => `coalesce(sum(jobs) FILTER (WHERE place = '${place}'), 0)`

  // Between two numbers, both given: slots have no statistics, and with one bound the planner would read all of them.
  const take = `
    WITH depth AS (${depth}
    ), now AS (
      SELECT queue, jsonb_build_object('ready', ${of("ready")}, 'scheduled', ${of("scheduled")}, 'waiting', ${of("waiting")},
          'running', ${of("running")}, 'dead', ${of("dead")}) AS depth,
        coalesce(sum(jobs) FILTER (WHERE place <> 'dead'), 0) AS unfinished,
        (extract(epoch FROM clock_timestamp() - min(since)) * 1000)::float8 AS oldest
      FROM depth GROUP BY queue
    ), came AS (
      SELECT queue, count(*) AS jobs FROM ${schema}.job WHERE id BETWEEN $1::bigint + 1 AND $2::bigint AND slot >= 0 GROUP BY queue
    ), before AS (
      SELECT key AS queue, (value ->> 'unfinished')::bigint AS unfinished
      FROM ${schema}.stats CROSS JOIN jsonb_each(queues) WHERE $3::timestamptz IS NOT NULL
    ), counted AS (
      SELECT queue, coalesce(now.depth, '{"ready":0,"scheduled":0,"waiting":0,"running":0,"dead":0}') AS depth, now.oldest,
        coalesce(now.unfinished, 0) AS unfinished, coalesce(came.jobs, 0) AS enqueued,
        greatest(coalesce(before.unfinished, 0) + coalesce(came.jobs, 0) - coalesce(now.unfinished, 0), 0) AS finished
      FROM now FULL JOIN came USING (queue) FULL JOIN before USING (queue)
    ), news AS MATERIALIZED (
      SELECT coalesce(jsonb_object_agg(queue, jsonb_build_object('depth', depth, 'oldest', oldest, 'unfinished', unfinished,
        'enqueued', enqueued, 'finished', CASE WHEN $3::timestamptz IS NULL THEN 0 ELSE finished END)), '{}') AS queues
      FROM counted WHERE unfinished > 0 OR enqueued > 0 OR finished > 0 OR (depth ->> 'dead')::bigint > 0
    ), ${allowed("$4", "news")}
    INSERT INTO ${schema}.stats AS kept (taken_at, over_ms, last_number, queues)
    SELECT clock_timestamp(), NULL, $2, queues FROM news CROSS JOIN allowed
    ON CONFLICT (only_row) DO UPDATE SET (taken_at, over_ms, last_number, queues) = (
      excluded.taken_at, extract(epoch FROM excluded.taken_at - kept.taken_at) * 1000, excluded.last_number, excluded.queues
    ) WHERE kept.taken_at IS NOT DISTINCT FROM $3
    RETURNING true`

  const before = `
    SELECT taken_at::text AS taken, last_number AS mark, coalesce((SELECT max(id) FROM ${schema}.job), 0) AS last
    FROM (SELECT) one LEFT JOIN ${schema}.stats ON true`

  return {
    takeStats: Effect.gen(function* () {
      const [row] = yield* sql.unsafe<{
        readonly taken: string | null
        readonly mark: bigint | null
        readonly last: bigint
      }>(before)
      const { last, mark, taken } = row!
      const kept = yield* rowsUnderTerm(take, [mark ?? last, last, taken])
      return kept.length > 0
    }),
    stats: Effect.map(
      sql.unsafe<{
        readonly age: number
        readonly over: number | null
        readonly queues: Readonly<Record<string, Counted>>
      }>(
        `SELECT (extract(epoch FROM clock_timestamp() - taken_at) * 1000)::float8 AS age, over_ms AS over, queues FROM ${schema}.stats`
      ),
      ([row]) =>
        Option.map(Option.fromUndefinedOr(row), ({ age, over, queues }) => ({
          age: Duration.millis(age),
          over: Option.map(Option.fromNullOr(over), Duration.millis),
          queues: Object.entries(queues)
            .map(([queue, { depth, enqueued, finished, oldest }]) => ({
              queue,
              depth,
              enqueued,
              finished,
              oldest: Option.map(Option.fromNullOr(oldest), Duration.millis)
            }))
            .toSorted((a, b) => (a.queue < b.queue ? -1 : 1))
        }))
    )
  }
}
