/** Who leads, under which term, and how the lanes ran. */
import type { PgClient } from "@effect/sql-pg/PgClient"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { Store, Term } from "../Store.ts"
import { float8s, int8s, texts } from "./parameters.ts"

type Leading = "leader" | "takeLead" | "keepLead" | "resign" | "recordRuns" | "laneRuns"

/** The advisory lock of leaders. A leader by lease has it for the moment it takes the lead: nobody leads by lock then. */
export const leadLock = (schema: string) => `hashtextextended('lanekeeper:lead:${schema.slice(1, -1)}', 0)`

/**
 * The next term, for somebody who holds the schema's advisory lock, unless somebody leads by lease. It waits for the
 * statements of the last one.
 */
export const nextTerm = (schema: string) => `
  UPDATE ${schema}.leader SET term = term + 1, holder = $1, since = clock_timestamp(), expires_at = NULL
  WHERE expires_at IS NULL OR expires_at <= clock_timestamp() RETURNING term`

export const endTerm = (schema: string) =>
  `UPDATE ${schema}.leader SET holder = NULL, expires_at = NULL WHERE term = $1 RETURNING term`

export const leading = (sql: PgClient, schema: string): Pick<Store["Service"], Leading> => {
  const recordRuns = `
    INSERT INTO ${schema}.lane_run AS run (lane, started_at, took_ms, rows, failures, error)
    SELECT lane, clock_timestamp() - age * interval '1 ms', took, rows, failures, error
    FROM unnest($1::text[], $2::float8[], $3::float8[], $4::bigint[], $5::bigint[], $6::text[])
      AS ran (lane, age, took, rows, failures, error)
    ON CONFLICT (lane) DO UPDATE SET (started_at, took_ms, rows, failures, error) =
      (excluded.started_at, excluded.took_ms, excluded.rows, excluded.failures, excluded.error)
    WHERE run.started_at <= excluded.started_at OR run.started_at > clock_timestamp()`

  return {
    leader: Effect.map(
      sql.unsafe<{ readonly term: Term; readonly holder: string | null; readonly leading: number }>(
        `SELECT term, holder,
           coalesce(CASE WHEN holder IS NOT NULL THEN extract(epoch FROM clock_timestamp() - since) * 1000 END, 0)::float8 AS leading
         FROM ${schema}.leader`
      ),
      ([row]) => ({
        term: row!.term,
        holder: Option.fromNullOr(row!.holder),
        leading: Duration.millis(row!.leading)
      })
    ),
    takeLead: ({ holder, lease }) =>
      Effect.map(
        sql.unsafe<{ readonly term: Term }>(
          `UPDATE ${schema}.leader SET term = term + 1, holder = $1, since = clock_timestamp(),
             expires_at = clock_timestamp() + $2 * interval '1 ms'
           WHERE CASE WHEN expires_at IS NULL OR expires_at <= clock_timestamp()
             THEN pg_try_advisory_xact_lock(${leadLock(schema)}) END RETURNING term`,
          [holder, Duration.toMillis(lease)]
        ),
        ([row]) => Option.fromUndefinedOr(row?.term)
      ),
    keepLead: (term, lease) =>
      Effect.map(
        sql.unsafe(
          `UPDATE ${schema}.leader SET expires_at = clock_timestamp() + $2 * interval '1 ms'
           WHERE term = $1 AND holder IS NOT NULL RETURNING term`,
          [term, Duration.toMillis(lease)]
        ),
        (rows) => rows.length > 0
      ),
    resign: (term) => Effect.asVoid(sql.unsafe(endTerm(schema), [term])),
    recordRuns: (runs) =>
      Effect.asVoid(
        sql.unsafe(recordRuns, [
          texts(runs.map(({ lane }) => lane)),
          float8s(runs.map(({ age }) => Duration.toMillis(age))),
          float8s(runs.map(({ took }) => Duration.toMillis(took))),
          int8s(runs.map(({ rows }) => rows)),
          int8s(runs.map(({ failures }) => failures)),
          texts(runs.map(({ error }) => error))
        ])
      ),
    laneRuns: Effect.map(
      sql.unsafe<{
        readonly lane: string
        readonly age: number
        readonly took: number
        readonly rows: number
        readonly failures: number
        readonly error: string | null
      }>(
        `SELECT lane, extract(epoch FROM clock_timestamp() - started_at)::float8 * 1000 AS age, took_ms AS took,
           rows::float8 AS rows, failures, error
         FROM ${schema}.lane_run ORDER BY lane`
      ),
      (rows) =>
        rows.map(({ age, took, ...run }) => ({ ...run, age: Duration.millis(age), took: Duration.millis(took) }))
    )
  }
}
