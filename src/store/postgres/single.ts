/**
 * The moves of one job, asked for from outside. One statement takes the pointer and writes what follows.
 *
 * A job can move on between a look and a grip: a move that finds nothing where it looked reads the place and, when the
 * job has come to where it could be moved from, tries again.
 */
import type { PgClient } from "@effect/sql-pg/PgClient"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { EndState } from "../../domain/Attempt.ts"
import { type JobId, makeId, numberOf, type Place, slotOf } from "../../domain/Job.ts"
import { storableText } from "../../domain/json.ts"
import { millis } from "../../domain/millis.ts"
import type { MoveResult, Resumption, Store } from "../Store.ts"
import { slots } from "./migrations/jobs/tables.ts"
import { json, texts } from "./parameters.ts"
import { pointers } from "./pointers.ts"

type Single = "cancel" | "setAside" | "runNow" | "postpone" | "reassign" | "resume" | "redrive" | "purge"

/** A line of history for a job no attempt ran of, and where it leads. Without `final` the job goes on. */
interface Line {
  readonly state: EndState
  readonly final?: "completed" | "cancelled" | "dead"
  readonly reason?: string
  readonly output?: unknown
  readonly in?: Duration.Duration | undefined
}

const notStarted: ReadonlyArray<Place> = ["waiting", "scheduled", "ready"]

export const single = (
  sql: PgClient,
  schema: string,
  placeOf: Store["Service"]["place"]
): Pick<Store["Service"], Single> => {
  const { ticketColumns, ticketOf, timedColumns, timedOf } = pointers(schema)
  const taken = `WITH taken AS MATERIALIZED (SELECT * FROM ${schema}.take($1, $2::smallint, $3))`

  const move = Effect.fnUntraced(function* (
    id: JobId,
    from: ReadonlyArray<Place>,
    to: Place,
    statement: string,
    parameters: ReadonlyArray<unknown>
  ) {
    if (slotOf(id) > slots) return { moved: false, place: Option.none() } satisfies MoveResult
    while (true) {
      const rows = yield* sql.unsafe(statement, [numberOf(id), slotOf(id), texts(from), ...parameters])
      if (rows.length > 0) return { moved: true, place: Option.some(to) } satisfies MoveResult
      const place = yield* placeOf(id)
      if (Option.isNone(place) || !from.includes(place.value)) return { moved: false, place } satisfies MoveResult
    }
  })

  // A body is buried when its last line is written: all of `written` is read before `bury` is called.
  const writeStatement = `${taken}, written AS (
      INSERT INTO ${schema}.attempt_end (job, attempt, slot, state, final, queue, priority, reason, output)
      SELECT job, attempt + 1, slot, $4, $5, queue, priority, $6, $7 FROM taken
      RETURNING job
    ), ready AS (
      INSERT INTO ${schema}.ticket (${ticketColumns})
      SELECT ${ticketOf("attempt + 1")} FROM taken WHERE $5::text IS NULL AND $8::bigint <= 0
    ), scheduled AS (
      INSERT INTO ${schema}.timed (${timedColumns})
      SELECT ${timedOf("attempt + 1", "$8::bigint")} FROM taken WHERE $5::text IS NULL AND $8::bigint > 0
    ), buried AS MATERIALIZED (
      SELECT ${schema}.bury(array_agg((taken.job, attempt + 1, failures, crashes, deadline_ms, slot, priority, queue, kind, $6)::${schema}.pointer))
      FROM taken JOIN written ON written.job = taken.job WHERE $5::text = 'dead' HAVING count(*) > 0
    )
    SELECT job FROM written CROSS JOIN (SELECT count(*) FROM buried) done`

  const write = (id: JobId, from: ReadonlyArray<Place>, line: Line) => {
    const wait = line.in === undefined ? 0 : millis(line.in)
    return move(id, from, line.final ?? (wait > 0 ? "scheduled" : "ready"), writeStatement, [
      line.state,
      line.final ?? null,
      line.reason === undefined ? null : storableText(line.reason),
      json(line.output),
      wait
    ])
  }

  // Locked as an outcome that leads to another attempt locks it: either that outcome sees the mark, or the next look
  // sees where it led.
  const markStatement = `
    UPDATE ${schema}.lease SET cancelling = jsonb_build_object($1::bigint::text, $2::text) || coalesce(cancelling, '{}')
    WHERE jobs @> $1::bigint`

  const cancel = Effect.fnUntraced(function* (id: JobId, reason: string) {
    while (true) {
      const result = yield* write(id, notStarted, { state: "cancelled", final: "cancelled", reason })
      if (result.moved || !Option.contains(result.place, "running")) return result
      yield* sql.unsafe(markStatement, [numberOf(id), storableText(reason)])
      const place = yield* placeOf(id)
      if (Option.contains(place, "running")) return { moved: false, place } satisfies MoveResult
    }
  })

  const resume = Effect.fnUntraced(function* (token: string, how: Resumption) {
    while (true) {
      const [wait] = yield* sql.unsafe<{ readonly job: bigint; readonly slot: number }>(
        `SELECT job, slot FROM ${schema}.wait WHERE token = $1 ORDER BY job LIMIT 1`,
        [token]
      )
      if (wait === undefined) return { moved: false, place: Option.none() } satisfies MoveResult
      const result = yield* write(makeId(Math.abs(wait.slot), wait.job), ["waiting"], resumed(how))
      if (result.moved) return result
    }
  })

  const runNowStatement = `${taken}
    INSERT INTO ${schema}.ticket (${ticketColumns}) SELECT ${ticketOf("attempt")} FROM taken RETURNING again`
  const postponeStatement = `${taken}
    INSERT INTO ${schema}.timed (${timedColumns}) SELECT ${timedOf("attempt", "$4::bigint")} FROM taken RETURNING job`
  const reassignStatement = `${taken}
    INSERT INTO ${schema}.ticket (${ticketColumns})
    SELECT ${ticketOf("attempt", "coalesce($4::smallint, priority)", "coalesce($5::text, queue)")} FROM taken RETURNING again`

  // As an enqueue under the key does, it waits for whoever has the key, and decides in a statement of its own.
  const lockKeyStatement = `
    INSERT INTO ${schema}.unique_key AS held (kind, key)
    SELECT kind, details ->> 'unique' FROM ${schema}.dead WHERE job = $1 AND details ->> 'unique' IS NOT NULL
    ON CONFLICT (kind, key) DO UPDATE SET job = held.job WHERE false`
  const holderOf = `
      SELECT held.job, held.slot FROM ${schema}.unique_key AS held
      WHERE held.kind = dead.kind AND held.key = dead.details ->> 'unique' AND held.job <> dead.job
        AND ${schema}.place_of(held.job, held.slot) IN ('scheduled', 'ready', 'running', 'waiting')`
  const holderStatement = `
    SELECT holder.* FROM ${schema}.dead CROSS JOIN LATERAL (${holderOf}
    ) holder WHERE dead.job = $1`

  // Its slot may be emptied by now: the body comes back in the attic, under the same id, unless it is there already.
  // Then its ends stay too: a lease that is left over from an attempt must go on to meet that attempt's end.
  const redriveStatement = `
    WITH gone AS (
      DELETE FROM ${schema}.dead WHERE job = $1 AND NOT EXISTS (${holderOf}
      ) RETURNING dead.*, -abs(slot) AS attic
    ), key AS (
      UPDATE ${schema}.unique_key AS held
      SET job = gone.job, slot = abs(gone.slot), enqueued_at = coalesce(held.enqueued_at, gone.enqueued_at)
      FROM gone WHERE held.kind = gone.kind AND held.key = gone.details ->> 'unique'
    ), revived AS (
      UPDATE ${schema}.attempt_end_0 AS line SET final = 'revived' FROM gone
      WHERE line.job = gone.job AND line.final = 'dead' RETURNING line.job
    ), body AS (
      INSERT INTO ${schema}.job (id, enqueued_at, deadline_ms, slot, priority, queue, kind, payload, details, history)
      SELECT job, enqueued_at, deadline_ms, attic, priority, queue, kind, payload, details, history FROM gone
      WHERE NOT EXISTS (SELECT FROM revived)
    )
    INSERT INTO ${schema}.ticket (${ticketColumns})
    SELECT ${ticketOf("attempt")} FROM (
      SELECT job, attempt, 0 AS failures, 0 AS crashes, deadline_ms, attic AS slot, priority, queue, kind FROM gone
    ) revived
    RETURNING again`

  const redrive = Effect.fnUntraced(function* (id: JobId) {
    while (true) {
      yield* sql.unsafe(lockKeyStatement, [numberOf(id)])
      const rows = yield* sql.unsafe(redriveStatement, [numberOf(id)])
      if (rows.length > 0) return { moved: true, place: Option.some<Place>("ready") } satisfies MoveResult
      const place = yield* placeOf(id)
      if (!Option.contains(place, "dead")) return { moved: false, place } satisfies MoveResult
      const [held] = yield* sql.unsafe<{ readonly job: bigint; readonly slot: number }>(holderStatement, [numberOf(id)])
      if (held === undefined) continue
      return { moved: false, place, heldBy: makeId(Math.abs(held.slot), held.job) } satisfies MoveResult
    }
  }, sql.withTransaction)

  return {
    cancel,
    resume,
    redrive,
    setAside: (id, reason) => write(id, notStarted, { state: "set aside", final: "dead", reason }),
    runNow: (id) => move(id, ["scheduled"], "ready", runNowStatement, []),
    postpone: (id, to) => move(id, ["scheduled"], "scheduled", postponeStatement, [millis(to)]),
    reassign: (id, to) => move(id, ["ready"], "ready", reassignStatement, [to.priority ?? null, to.queue ?? null]),
    purge: (id) =>
      Effect.map(
        sql.unsafe(`DELETE FROM ${schema}.dead WHERE job = $1 RETURNING job`, [numberOf(id)]),
        (rows) => rows.length > 0
      )
  }
}

const resumed = (how: Resumption): Line => {
  switch (how._tag) {
    case "Resumed":
      return { state: "resumed", output: how.value, in: how.in }
    case "Completed":
      return { state: "completed", final: "completed", output: how.output }
    case "Died":
      return { state: "died", final: "dead", reason: how.reason }
    case "Cancelled":
      return { state: "cancelled", final: "cancelled", reason: how.reason }
  }
}
