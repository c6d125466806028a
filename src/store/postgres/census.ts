/** Counts everything, job by job: for a demonstration or a test, whose database is small. Readers elsewhere ask `stats`. */
import type { PgClient } from "@effect/sql-pg/PgClient"
import * as Effect from "effect/Effect"
import type { SqlError } from "effect/sql/SqlError"
import type { EndState } from "../../domain/Attempt.ts"
import type { Place } from "../../domain/Job.ts"
import { quoted, type SchemaName } from "./SchemaName.ts"

export interface Census {
  readonly places: Readonly<Partial<Record<Place, number>>>
  /** How attempts ended. */
  readonly ends: Readonly<Partial<Record<EndState, number>>>
}

interface Counted<Of extends string> {
  readonly of: Of
  readonly jobs: number
}

const record = <Of extends string>(rows: ReadonlyArray<Counted<Of>>) =>
  Object.fromEntries(rows.map(({ jobs, of }) => [of, jobs])) as Partial<Record<Of, number>>

export const census = Effect.fnUntraced(function* (
  sql: PgClient,
  schema: SchemaName
): Effect.fn.Return<Census, SqlError> {
  const places = yield* sql.unsafe<Counted<Place>>(
    `SELECT place AS of, count(*)::int AS jobs FROM ${quoted(schema)}.jobs GROUP BY place`
  )
  const ends = yield* sql.unsafe<Counted<EndState>>(
    `SELECT state AS of, count(*)::int AS jobs FROM ${quoted(schema)}.attempt_end WHERE state <> 'moved' GROUP BY state`
  )
  return { places: record(places), ends: record(ends) }
})
