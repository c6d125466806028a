/** Lets go of what is past its retention and lies in no slot, in batches. */
import type { PgClient } from "@effect/sql-pg/PgClient"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { Retired, Upkeep } from "../../Upkeep.ts"
import { slots } from "../migrations/jobs/tables.ts"
import { allowing, underTerm } from "../term.ts"

export const retiring = (sql: PgClient, schema: string): Pick<Upkeep, "retire" | "trimWorkers"> => {
  const rowsUnderTerm = underTerm(sql)
  const allowed = allowing(schema)

  const dead = `
    WITH past AS MATERIALIZED (
      SELECT job FROM ${schema}.dead
      WHERE died_at < statement_timestamp() - (SELECT dead_retention FROM ${schema}.ring)
      ORDER BY died_at, job LIMIT $1 FOR UPDATE SKIP LOCKED
    ), ${allowed("$2", "past")}, gone AS (
      DELETE FROM ${schema}.dead USING past, allowed WHERE dead.job = past.job RETURNING dead.job
    )
    SELECT count(*)::int AS gone FROM gone`

  // The least body of each slot: what has a lower number is gone from it. Jobs are not looked up there one by one, for
  // nearly all that are asked for are over and only wait for their slot to be emptied. Each slot is named, and so locked
  // before the snapshot is taken: a slot emptied later than that would hide what had moved from it.
  const low = `
    low (slot, least) AS MATERIALIZED (
      VALUES ${Array.from({ length: slots }, (_, n) => `(${n + 1}, (SELECT min(id) FROM ${schema}.job_${n + 1}))`).join(", ")}
    )`
  const isGone = (row: string) => `
        NOT EXISTS (SELECT FROM low WHERE low.slot = abs(${row}.slot) AND low.least <= ${row}.job)
        AND NOT EXISTS (SELECT FROM ${schema}.dead WHERE dead.job = ${row}.job)
        AND NOT EXISTS (SELECT FROM ${schema}.job_0 AS body WHERE body.id = ${row}.job AND NOT EXISTS (
          SELECT FROM ${schema}.attempt_end_0 AS done WHERE done.job = body.id AND done.slot = body.slot AND done.final = 'dead'
        ))`

  // A key whose job is gone is free already. The time is compared on the row as it is when it is locked: a key that was
  // taken anew meanwhile is young, and stays. One that was never given a job has been rolled back or is being taken.
  const keys = `
    WITH ${low}, free AS MATERIALIZED (
      SELECT kind, key FROM ${schema}.unique_key AS held
      WHERE enqueued_at < statement_timestamp() - (SELECT retention FROM ${schema}.ring)
        AND coalesce(until < statement_timestamp(), true) AND ${isGone("held")}
      LIMIT $1 FOR UPDATE OF held SKIP LOCKED
    ), ${allowed("$2", "free")}, gone AS (
      DELETE FROM ${schema}.unique_key AS held USING free, allowed
      WHERE held.kind = free.kind AND held.key = free.key RETURNING held.key
    )
    SELECT count(*)::int AS gone FROM gone`

  // Results of steps are needed for as long as the job can run again: for as long as it is there.
  const notes = `
    WITH ${low}, free AS MATERIALIZED (
      SELECT job, name FROM ${schema}.note AS kept
      WHERE noted_at < statement_timestamp() - (SELECT retention FROM ${schema}.ring) AND ${isGone("kept")}
      ORDER BY noted_at LIMIT $1 FOR UPDATE OF kept SKIP LOCKED
    ), ${allowed("$2", "free")}, gone AS (
      DELETE FROM ${schema}.note AS kept USING free, allowed
      WHERE kept.job = free.job AND kept.name = free.name RETURNING kept.job
    )
    SELECT count(*)::int AS gone FROM gone`

  const workers = `
    WITH past AS MATERIALIZED (
      SELECT id FROM ${schema}.worker
      WHERE declared_dead_at < statement_timestamp() - $1 * interval '1 ms'
        AND NOT EXISTS (SELECT FROM ${schema}.lease WHERE lease.worker = worker.id)
      ORDER BY id LIMIT $2 FOR UPDATE SKIP LOCKED
    ), ${allowed("$3", "past")}, gone AS (
      DELETE FROM ${schema}.worker USING past, allowed WHERE worker.id = past.id RETURNING worker.id
    )
    SELECT count(*)::int AS gone FROM gone`

  const count = (statement: string, parameters: ReadonlyArray<unknown>) =>
    Effect.map(rowsUnderTerm<{ readonly gone: number }>(statement, parameters), ([row]) => row!.gone)

  return {
    retire: Effect.fnUntraced(function* ({ limit }) {
      return {
        dead: yield* count(dead, [limit]),
        keys: yield* count(keys, [limit]),
        notes: yield* count(notes, [limit])
      } satisfies Retired
    }),
    trimWorkers: ({ after, limit }) => count(workers, [Duration.toMillis(after), limit])
  }
}
