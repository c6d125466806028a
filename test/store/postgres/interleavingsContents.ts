/** Reads the tables themselves after an order, and says what is wrong in them. */
import type { PgClient } from "@effect/sql-pg/PgClient"
import * as Effect from "effect/Effect"

interface JobRow {
  readonly job: bigint
  /** Where its pointers say that it stands: one, or none once it was purged. */
  readonly places: ReadonlyArray<string>
  readonly attempt: number | null
  readonly failures: number | null
  readonly crashes: number | null
  /** The attempts that ended, in order, and how. */
  readonly attempts: ReadonlyArray<number>
  readonly states: ReadonlyArray<string>
  readonly final: string | null
  readonly body: boolean
  readonly revived: boolean
}

export interface Contents {
  readonly faults: ReadonlyArray<string>
  /** Job by job, called by their order of enqueue: how its attempts ended, and where it stands. */
  readonly told: string
  /** Leases that run nothing any more. */
  readonly over: ReadonlyArray<{ readonly id: bigint; readonly worker: bigint }>
}

const jobsStatement = `
  WITH body AS (
    SELECT DISTINCT ON (id) id, slot, history FROM hold.job ORDER BY id, slot
  ), done AS (
    SELECT * FROM hold.attempt_end WHERE state <> 'moved'
  ), held AS (
    SELECT one AS job, lease.* FROM lanekeeper.lease CROSS JOIN unnest(jobs) AS run
    CROSS JOIN generate_series(lower(run), upper(run) - 1) AS one
  ), pointer AS (
    SELECT 'scheduled' AS place, job, slot, attempt, failures, crashes FROM lanekeeper.timed
    UNION ALL
    SELECT 'waiting', job, slot, attempt, failures, crashes FROM lanekeeper.wait
    UNION ALL
    SELECT 'ready', one, slot, attempt, failures, crashes FROM lanekeeper.ticket CROSS JOIN unnest(jobs) AS run
    CROSS JOIN generate_series(lower(run), upper(run) - 1) AS one
    UNION ALL
    SELECT 'running by ' || coalesce((SELECT name FROM lanekeeper.worker WHERE id = held.worker), 'nobody')
        || CASE WHEN cancelling ? job::text THEN ' until cancelled' ELSE '' END,
      job, slot, attempt, failures, crashes
    FROM held WHERE NOT EXISTS (SELECT FROM done WHERE done.job = held.job AND done.attempt = held.attempt AND done.slot = held.slot)
    UNION ALL
    SELECT final, job, slot, attempt, NULL, NULL FROM done WHERE final IN ('completed', 'cancelled')
    UNION ALL
    SELECT 'dead', job, NULL, attempt, failures, crashes FROM lanekeeper.dead
  ), past AS (
    SELECT job, history FROM lanekeeper.dead UNION ALL SELECT id, history FROM body WHERE id NOT IN (SELECT job FROM lanekeeper.dead)
  ), line AS (
    SELECT job, (entry ->> 'attempt')::int AS attempt, entry ->> 'state' AS state, NULL AS final
    FROM past CROSS JOIN jsonb_array_elements(history) AS entry
    UNION ALL
    SELECT done.job, attempt, state, nullif(final, 'revived') FROM done JOIN body ON body.id = done.job AND body.slot = done.slot
    WHERE done.job NOT IN (SELECT job FROM lanekeeper.dead)
  )
  SELECT job, body.id IS NOT NULL AS body, coalesce(history IS NOT NULL, false) AS revived,
    here.*, lines.*
  FROM (SELECT id AS job FROM body UNION SELECT job FROM pointer) named
  LEFT JOIN body ON body.id = job
  CROSS JOIN LATERAL (
    SELECT coalesce(array_agg(place ORDER BY place), '{}') AS places, max(attempt) AS attempt, max(failures) AS failures, max(crashes) AS crashes
    FROM pointer WHERE pointer.job = named.job AND (place = 'dead' OR pointer.slot = body.slot)
  ) here
  CROSS JOIN LATERAL (
    SELECT coalesce(array_agg(line.attempt ORDER BY line.attempt), '{}') AS attempts,
      coalesce(array_agg(state ORDER BY line.attempt), '{}') AS states, max(final) AS final
    FROM line WHERE line.job = named.job
  ) lines
  ORDER BY job`

const restStatement = `
  SELECT
    (SELECT count(*)::int FROM (
      SELECT job, slot FROM lanekeeper.timed UNION ALL SELECT job, slot FROM lanekeeper.wait UNION ALL
      SELECT one, slot FROM (SELECT jobs, slot FROM lanekeeper.ticket UNION ALL SELECT jobs, slot FROM lanekeeper.lease) ranges
      CROSS JOIN unnest(jobs) AS run CROSS JOIN generate_series(lower(run), upper(run) - 1) AS one
    ) pointer WHERE NOT EXISTS (SELECT FROM hold.job WHERE job.id = pointer.job AND job.slot = pointer.slot)) AS bodiless,
    (SELECT count(*)::int FROM (SELECT jobs, size FROM lanekeeper.ticket UNION ALL SELECT jobs, size FROM lanekeeper.lease) ranges
      WHERE size <> (SELECT sum(upper(run) - lower(run)) FROM unnest(jobs) AS run)) AS missized,
    coalesce((
      SELECT jsonb_agg(jsonb_build_object('id', id, 'worker', worker)) FROM lanekeeper.lease WHERE size = (
        SELECT count(*) FROM hold.attempt_end AS done
        WHERE lease.jobs @> done.job AND done.attempt = lease.attempt AND done.slot = lease.slot
      )
    ), '[]') AS over`

export const read = Effect.fnUntraced(function* (sql: PgClient) {
  const jobs = yield* sql.unsafe<JobRow>(jobsStatement)
  const [rest] = yield* sql.unsafe<{
    readonly bodiless: number
    readonly missized: number
    readonly over: ReadonlyArray<{ readonly id: number; readonly worker: number }>
  }>(restStatement)
  return {
    faults: [
      ...jobs.flatMap((job, index) => faultsOf(job).map((fault) => `job ${index + 1} ${fault}`)),
      ...(rest!.bodiless > 0 ? [`${rest!.bodiless} pointers without a body`] : []),
      ...(rest!.missized > 0 ? [`${rest!.missized} tickets or leases that miscount their jobs`] : [])
    ],
    told: jobs.map((job, index) => [index + 1, ...job.states, placeOf(job)].join(" ")).join(", ") || "nothing",
    over: rest!.over.map(({ id, worker }) => ({ id: BigInt(id), worker: BigInt(worker) }))
  } satisfies Contents
})

const placeOf = ({ final, places }: JobRow) => places.join(" and ") || (final === "dead" ? "purged" : "nowhere")

const faultsOf = (row: JobRow): ReadonlyArray<string> => {
  const { attempt, attempts, body, crashes, failures, final, places, revived, states } = row
  const [place] = places
  if (places.length > 1 || (places.length === 0 && final !== "dead")) return [`stands ${placeOf(row)}`]
  if (place === undefined) return []
  const faults: Array<string> = []
  const count = (...counted: ReadonlyArray<string>) => states.filter((state) => counted.includes(state)).length
  const begun = place.startsWith("running") ? attempt! - 1 : attempt!
  if (!body && place !== "dead") faults.push("has no body")
  if (body && (attempts.length !== begun || attempts.some((ended, index) => ended !== index + 1)))
    faults.push(`is at attempt ${attempt} of ${place}, and those that ended are ${attempts.join(" ") || "none"}`)
  if (final !== null && final !== place) faults.push(`is ${place} after its final end, ${final}`)
  // A redrive counts afresh, and the dead do not say whether there was one.
  if (
    body &&
    !revived &&
    place !== "dead" &&
    failures !== null &&
    (failures !== count("failed", "died") || crashes !== count("rescued"))
  )
    faults.push(`counts ${failures} failures and ${crashes} crashes after: ${states.join(" ")}`)
  return faults
}
