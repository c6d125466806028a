/** The moves of many jobs at once: each locks what it moves, in order, and skips what others are moving. */
import type { PgClient } from "@effect/sql-pg/PgClient"
import * as Effect from "effect/Effect"
import type { Moved, Store, WorkerId } from "../Store.ts"
import { int8s } from "./parameters.ts"
import { pointers } from "./pointers.ts"

/** Jobs of one queue that went to one place. */
interface Part {
  readonly place: "ready" | "timed" | "waiting" | "dead" | "cancelled"
  readonly queue: string
  readonly jobs: number
}

const summed = (parts: ReadonlyArray<Part>): Moved => {
  const count = (place: Part["place"]) => parts.reduce((sum, part) => sum + (part.place === place ? part.jobs : 0), 0)
  const queues = parts.filter(({ place }) => place === "ready").map(({ queue }) => queue)
  return {
    ready: count("ready"),
    scheduled: count("timed"),
    dead: count("dead"),
    cancelled: count("cancelled"),
    queues: [...new Set(queues)].toSorted()
  }
}

type Passes = "promote" | "rescueWorker" | "rescueOverdue" | "release" | "expireWaits"

export const passing = (sql: PgClient, schema: string): Pick<Store["Service"], Passes> => {
  const parts = (statement: string, parameters: ReadonlyArray<unknown>) =>
    Effect.map(sql.unsafe<Part>(statement, parameters), summed)

  const { ticketColumns, ticketOf } = pointers(schema)

  // Not clock_timestamp(): the index can be searched by a time that stands still during the statement.
  const promote = `
    WITH due AS MATERIALIZED (
      SELECT job FROM ${schema}.timed WHERE run_at <= statement_timestamp()
      ORDER BY run_at, job LIMIT $1 FOR UPDATE SKIP LOCKED
    ), gone AS (
      DELETE FROM ${schema}.timed USING due WHERE timed.job = due.job RETURNING timed.*
    ), ready AS (
      INSERT INTO ${schema}.ticket (${ticketColumns})
      SELECT ${ticketOf("attempt")} FROM (SELECT * FROM gone ORDER BY run_at, job) gone
    )
    SELECT 'ready' AS place, queue, count(*)::int AS jobs FROM gone GROUP BY queue`

  /** The end of every attempt of the leases in \`held\`: those that have ended already meet the fence. */
  const ending = (ender: string, state: string, next: string, reason: string) => `
    SELECT ended.place, ended.queue, cardinality(ended.ended) AS jobs
    FROM (
      SELECT array_agg(id) AS leases, array_agg(job) AS jobs, array_agg(attempt) AS attempts,
        array_agg(${next}) AS nexts, array_agg(${reason}) AS reasons, count(*)::int AS n, array_agg(DISTINCT id) AS whole
      FROM (
        SELECT held.*, job FROM held CROSS JOIN unnest(held.jobs) AS run
        CROSS JOIN generate_series(lower(run), upper(run) - 1) AS job
        ORDER BY held.id, job
      ) one
    ) said
    CROSS JOIN LATERAL ${schema}.end_attempts(${ender}, leases, said.jobs, attempts, array_fill(NULL::int, ARRAY[n]),
      array_fill('${state}'::text, ARRAY[n]), nexts, array_fill(NULL::bigint, ARRAY[n]), reasons,
      array_fill(NULL::jsonb, ARRAY[n]), array_fill(NULL::jsonb, ARRAY[n]), array_fill(NULL::text, ARRAY[n]),
      array_fill(NULL::text, ARRAY[n]), whole) ended
    WHERE n > 0`
  const rescued = (budget: string) =>
    ending(
      "NULL",
      "rescued",
      `CASE WHEN crashes >= ${budget} THEN 'dead' ELSE 'ready' END`,
      `CASE WHEN crashes >= ${budget} THEN 'crash budget spent: rescued ' || crashes + 1 || ' times' END`
    )

  const rescueWorker = `
    WITH held AS MATERIALIZED (
      SELECT * FROM ${schema}.lease
      WHERE worker = $1 AND NOT EXISTS (SELECT FROM ${schema}.worker WHERE id = $1 AND declared_dead_at IS NULL)
      ORDER BY id LIMIT $2 FOR UPDATE SKIP LOCKED
    )${rescued("$3")}`

  const rescueOverdue = `
    WITH held AS MATERIALIZED (
      SELECT * FROM ${schema}.lease WHERE deadline_at < statement_timestamp()
      ORDER BY deadline_at, id LIMIT $1 FOR UPDATE SKIP LOCKED
    )${rescued("$2")}`

  const release = `
    WITH held AS MATERIALIZED (
      SELECT * FROM ${schema}.lease WHERE worker = $1 AND id = ANY ($2) ORDER BY id FOR UPDATE
    )${ending("$1", "released", "'ready'::text", "NULL::text")}`

  // The dead are buried when their last end is written: `ends` is read to its end before `bury` is called.
  const expireWaits = `
    WITH due AS MATERIALIZED (
      SELECT job FROM ${schema}.wait WHERE expires_at <= statement_timestamp()
      ORDER BY expires_at, job LIMIT $1 FOR UPDATE SKIP LOCKED
    ), gone AS (
      DELETE FROM ${schema}.wait USING due WHERE wait.job = due.job
      RETURNING wait.*, CASE on_expiry WHEN 'die' THEN 'dead' WHEN 'cancel' THEN 'cancelled' ELSE 'ready' END AS place,
        CASE WHEN on_expiry <> 'retry' THEN 'nobody ended the wait in time' END AS because
    ), ends AS (
      INSERT INTO ${schema}.attempt_end (job, attempt, slot, state, final, queue, priority, reason)
      SELECT job, attempt + 1, slot, 'expired', nullif(place, 'ready'), queue, priority, because FROM gone
      RETURNING job
    ), ready AS (
      INSERT INTO ${schema}.ticket (${ticketColumns})
      SELECT ${ticketOf("attempt + 1")} FROM (SELECT * FROM gone WHERE place = 'ready' ORDER BY expires_at, job) gone
    ), died AS MATERIALIZED (
      SELECT array_agg((gone.job, attempt + 1, failures, crashes, deadline_ms, slot, priority, queue, kind, because)::${schema}.pointer) AS pointers
      FROM gone JOIN ends ON ends.job = gone.job WHERE place = 'dead'
    ), buried AS MATERIALIZED (
      SELECT ${schema}.bury(pointers) FROM died WHERE pointers IS NOT NULL
    )
    SELECT place, queue, count(*)::int AS jobs FROM gone CROSS JOIN (SELECT count(*) FROM buried) done
    GROUP BY place, queue`

  return {
    promote: ({ limit }) => parts(promote, [limit]),
    rescueWorker: (worker: WorkerId, { crashBudget, limit }) => parts(rescueWorker, [worker, limit, crashBudget]),
    rescueOverdue: ({ crashBudget, limit }) => parts(rescueOverdue, [limit, crashBudget]),
    release: (worker, leases) => parts(release, [worker, int8s(leases)]),
    expireWaits: ({ limit }) => parts(expireWaits, [limit])
  }
}
