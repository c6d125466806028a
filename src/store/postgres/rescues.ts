/**
 * Ends the attempts of whole leases: of those a vanished worker holds, of those past their deadline, and of those a
 * worker gives back. What has ended already meets the fence.
 *
 * A lease that would fail its batch is taken apart job by job: a job that cannot be moved dies, with the reason, and one
 * that somebody is ending at this moment is left for the next time.
 */
import type { PgClient } from "@effect/sql-pg/PgClient"
import * as Effect from "effect/Effect"
import type { SqlError } from "effect/sql/SqlError"
import type { LeaseId, RescueOptions, Store } from "../Store.ts"
import { isBadRow, isBusy, unmovable } from "./apart.ts"
import { isNothing, nothing, type Part, sum, summed } from "./moved.ts"
import { int8s } from "./parameters.ts"
import { allowing, underTerm } from "./term.ts"

/** A transaction that completes its job in the end keeps that one job, and no other, from being rescued. */
const stops = (error: SqlError) => isBadRow(error) || isBusy(error)

/** Which leases are rescued, and in which order. $1 is theirs. */
interface Which {
  readonly leases: string
  readonly order: string
  readonly parameter: unknown
}

export const rescuing = (
  sql: PgClient,
  schema: string
): Pick<Store["Service"], "rescueWorker" | "rescueOverdue" | "release"> => {
  const allowed = allowing(schema)
  const rowsUnderTerm = underTerm(sql)

  /** The end of every attempt of the leases in `held`. */
  const ending = (ender: string, state: string, next: string, reason: string, from = "held", only = "true") => `
    SELECT ended.place, ended.queue, cardinality(ended.ended) AS jobs
    FROM (
      SELECT array_agg(id) AS leases, array_agg(job) AS jobs, array_agg(attempt::int) AS attempts,
        array_agg(${state}) AS states, array_agg(${next}) AS nexts, array_agg(${reason}) AS reasons, count(*)::int AS n, array_agg(DISTINCT id) AS whole
      FROM (
        SELECT held.*, job FROM ${from} CROSS JOIN ${schema}.members(held.jobs) AS job
        WHERE ${only}
        ORDER BY held.id, job
      ) one
    ) said
    CROSS JOIN LATERAL ${schema}.end_attempts(${ender}, leases, said.jobs, attempts, array_fill(NULL::int, ARRAY[n]),
      states, nexts, array_fill(NULL::bigint, ARRAY[n]), reasons,
      array_fill(NULL::jsonb, ARRAY[n]), array_fill(NULL::jsonb, ARRAY[n]), array_fill(NULL::text, ARRAY[n]),
      array_fill(NULL::text, ARRAY[n]), whole) ended
    WHERE n > 0`

  const state = "CASE WHEN begun THEN 'rescued' ELSE 'released' END"
  const next = "CASE WHEN begun AND crashes >= $3 THEN 'dead' ELSE 'ready' END"
  const reason = "CASE WHEN begun AND crashes >= $3 THEN 'crash budget spent: rescued ' || crashes + 1 || ' times' END"

  const held = ({ leases, order }: Which, only = "") => `WITH held AS MATERIALIZED (
      SELECT * FROM ${schema}.lease WHERE ${leases}${only} ORDER BY ${order} LIMIT $2 FOR UPDATE SKIP LOCKED
    )`
  const batchOf = (which: Which) => `
    ${held(which)}, ${allowed("$4", "held")}${ending("NULL", state, next, reason, "held CROSS JOIN allowed")}`
  const firstOf = ({ leases, order }: Which) =>
    `SELECT id FROM ${schema}.lease WHERE ${leases} ORDER BY ${order} LIMIT $2`
  /** One lease, or one job of it; to its death when a reason is given. */
  const oneOf = (which: Which) => `
    ${held(which, " AND id = $4")}, ${allowed("$7", "held")}${ending(
      "NULL",
      state,
      `CASE WHEN $6::text IS NULL THEN ${next} ELSE 'dead' END`,
      `coalesce($6, ${reason})`,
      "held CROSS JOIN allowed",
      "$5::bigint IS NULL OR job = $5"
    )}`
  const jobsOf = `
    SELECT job FROM ${schema}.lease CROSS JOIN ${schema}.members(jobs) AS job WHERE id = $1 ORDER BY job`

  const rescue = (which: Which, { crashBudget, limit }: RescueOptions) =>
    Effect.map(rowsUnderTerm<Part>(batchOf(which), [which.parameter, limit, crashBudget]), summed).pipe(
      Effect.catchIf(stops, () => apart(which, { crashBudget, limit }))
    )

  /** Fails only where nothing can be moved at all: what cannot even die is in nobody's way. */
  const apart = Effect.fnUntraced(function* (which: Which, { crashBudget, limit }: RescueOptions) {
    let all = nothing
    let failed: SqlError | undefined
    const move = (lease: LeaseId, job: bigint | null = null, reason: string | null = null) =>
      sql
        .withTransaction(rowsUnderTerm<Part>(oneOf(which), [which.parameter, 1, crashBudget, lease, job, reason]))
        .pipe(Effect.map((parts) => void (all = sum(all, summed(parts)))))
    const each = Effect.fnUntraced(function* (lease: LeaseId) {
      for (const { job } of yield* sql.unsafe<{ readonly job: bigint }>(jobsOf, [lease])) {
        yield* move(lease, job).pipe(
          Effect.catchIf(isBadRow, (error) => move(lease, job, unmovable(error))),
          Effect.catchIf(stops, (error) => Effect.sync(() => void (failed = error)))
        )
      }
    })
    for (const { id } of yield* sql.unsafe<{ readonly id: LeaseId }>(firstOf(which), [which.parameter, limit])) {
      yield* Effect.catchIf(move(id), stops, () => each(id))
    }
    return failed !== undefined && isNothing(all) ? yield* failed : all
  })

  const release = `
    WITH held AS MATERIALIZED (
      SELECT * FROM ${schema}.lease WHERE worker = $1 AND id = ANY ($2) ORDER BY id FOR UPDATE
    )${ending("$1", "'released'::text", "'ready'::text", "NULL::text")}`

  return {
    rescueWorker: (worker, options) =>
      rescue(
        {
          leases: `worker = $1 AND NOT EXISTS (SELECT FROM ${schema}.worker WHERE id = $1 AND declared_dead_at IS NULL)`,
          order: "id",
          parameter: worker
        },
        options
      ),
    rescueOverdue: (options) =>
      rescue(
        {
          leases: "deadline_at < statement_timestamp() AND $1::int IS NULL",
          order: "deadline_at, id",
          parameter: null
        },
        options
      ),
    release: (worker, leases) => Effect.map(sql.unsafe<Part>(release, [worker, int8s(leases)]), summed)
  }
}
