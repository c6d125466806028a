/**
 * Says where jobs stand. A look-up names the pieces of storage it opens: the slot in the id, and the attic, where the
 * body is if it has outlived its slot.
 */
import type { PgClient } from "@effect/sql-pg/PgClient"
import * as Arr from "effect/Array"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { EndState } from "../../domain/Attempt.ts"
import { type JobId, makeId, numberOf, type Place, slotOf } from "../../domain/Job.ts"
import type { JobView, PageOptions, Store, WorkerId } from "../Store.ts"
import { history } from "./migrations/jobs/bury.ts"
import { slots } from "./migrations/jobs/tables.ts"
import { paging } from "./paging.ts"
import { int8s } from "./parameters.ts"

interface Row {
  readonly id: bigint
  readonly place: Place
  readonly kind: string
  readonly queue: string
  readonly priority: number
  readonly attempt: number
  readonly failures: number
  readonly crashes: number
  readonly payload: unknown
  readonly details: unknown
  readonly enqueued_at: Date
  readonly due: Date | null
  readonly worker: WorkerId | null
  readonly history: ReadonlyArray<{
    readonly attempt: number
    readonly state: EndState
    readonly worker?: number
    readonly reason?: string
    readonly error: unknown
    readonly output: unknown
  }>
}

export const reading = (sql: PgClient, schema: string): Pick<Store["Service"], "place" | "show" | "page"> => {
  /** How often a job ended so since it was enqueued, or last driven again. */
  const counted = (slot: number, states: string) => `(
        SELECT count(*)::int FROM ${schema}.attempt_end_${slot} AS line WHERE line.job = body.id AND line.state IN ${states}
        AND line.attempt > ALL (SELECT attempt FROM ${schema}.attempt_end_${slot} WHERE job = body.id AND final = 'revived')
      )`

  /** Where a body stands. Over, or copied to the attic: no pointer speaks of this one. Else one pointer does. */
  const standing = (slot: number) => `
      SELECT CASE final WHEN 'dead' THEN 'purged' ELSE final END AS place, coalesce(queue, body.queue) AS queue,
        coalesce(priority, body.priority) AS priority, attempt,
        ${counted(slot, "('failed', 'died')")} AS failures,
        ${counted(slot, "('rescued')")} AS crashes,
        NULL::timestamptz AS due, NULL::bigint AS worker
      FROM ${schema}.attempt_end_${slot} WHERE job = body.id AND final <> 'revived'
      UNION ALL
      SELECT 'waiting', queue, priority, attempt, failures, crashes, expires_at, NULL FROM ${schema}.wait WHERE job = body.id
      UNION ALL
      SELECT 'scheduled', queue, priority, attempt, failures, crashes, run_at, NULL FROM ${schema}.timed WHERE job = body.id
      UNION ALL
      SELECT 'ready', queue, priority, attempt, failures, crashes, NULL, NULL FROM ${schema}.ticket WHERE again = body.id
      UNION ALL
      SELECT 'ready', queue, priority, attempt, failures, crashes, NULL, NULL FROM ${schema}.ticket
      WHERE id = body.ticket AND again IS NULL AND jobs @> body.id
      UNION ALL
      SELECT 'running', queue, priority, attempt, failures, crashes, deadline_at, worker FROM ${schema}.lease
      WHERE jobs @> body.id AND slot = body.slot AND NOT EXISTS (
        SELECT FROM ${schema}.attempt_end_${slot} AS done WHERE done.job = body.id AND done.attempt = lease.attempt
      )
      LIMIT 1`

  const living = (slot: number) => `
    SELECT body.id, here.place, body.kind, here.queue, here.priority, here.attempt, here.failures, here.crashes,
      body.payload, body.details, body.enqueued_at, here.due, here.worker, ${history(schema, `${slot}`, "body")} AS history
    FROM ${schema}.job_${slot} AS body CROSS JOIN LATERAL (${standing(slot)}
    ) here
    WHERE body.id = ANY ($1) AND here.place NOT IN ('moved', 'purged')`

  const dead = `
    SELECT job AS id, 'dead' AS place, kind, queue, priority, attempt, failures, crashes,
      payload, details, enqueued_at, NULL::timestamptz AS due, NULL::bigint AS worker, history
    FROM ${schema}.dead WHERE job = ANY ($1)`

  const statements = new Map<number, string>()
  const statementOf = (slot: number) => {
    const text = statements.get(slot) ?? [dead, living(0), ...(slot > 0 ? [living(slot)] : [])].join("\n    UNION ALL")
    statements.set(slot, text)
    return text
  }

  const viewsIn = Effect.fnUntraced(function* (slot: number, numbers: ReadonlyArray<bigint>) {
    if (slot > slots) return []
    const rows = yield* sql.unsafe<Row>(statementOf(slot), [int8s(numbers)])
    const views = new Map(rows.map((row) => [row.id, decode(slot, row)]))
    return numbers.flatMap((number) => views.get(number) ?? [])
  })

  const show = (id: JobId) => Effect.map(viewsIn(slotOf(id), [numberOf(id)]), ([view]) => Option.fromUndefinedOr(view))

  const pageOf = paging(schema)
  const page = Effect.fnUntraced(function* (options: PageOptions) {
    const { after, limit, place, queue } = options
    const found = yield* sql.unsafe<{ readonly job: bigint; readonly slot: number }>(
      pageOf[place](queue !== undefined),
      [after === undefined ? endless : numberOf(after), limit, ...(queue === undefined ? [] : [queue])]
    )
    const homes = new Map<number, Array<bigint>>()
    for (const { job, slot } of found) homes.set(Math.abs(slot), [...(homes.get(Math.abs(slot)) ?? []), job])
    const asked = [...homes].flatMap(([slot, numbers]) => Arr.chunksOf(numbers, few).map((some) => ({ slot, some })))
    const views = yield* Effect.forEach(asked, ({ slot, some }) => viewsIn(slot, some))
    return views
      .flat()
      .filter((view) => view.place === place)
      .toSorted((a, b) => Number(numberOf(b.id) - numberOf(a.id)))
  })

  return {
    show,
    page,
    place: (id) =>
      Effect.map(
        show(id),
        Option.map((view) => view.place)
      )
  }
}

const few = 100 // each counts as 180 to the planner, and at 100,000 a statement would be compiled
const endless = 2n ** 63n - 1n

const decode = (slot: number, row: Row): JobView => ({
  id: makeId(slot, row.id),
  kind: row.kind,
  queue: row.queue,
  priority: row.priority,
  place: row.place,
  attempt: row.attempt,
  failures: row.failures,
  crashes: row.crashes,
  payload: row.payload,
  details: row.details,
  enqueuedAt: DateTime.fromDateUnsafe(row.enqueued_at),
  due: Option.map(Option.fromNullishOr(row.due), DateTime.fromDateUnsafe),
  worker: Option.fromNullishOr(row.worker),
  history: row.history.map((line) => ({
    attempt: line.attempt,
    state: line.state,
    worker: Option.map(Option.fromUndefinedOr(line.worker), (worker) => BigInt(worker) as WorkerId),
    error: line.error,
    output: line.output,
    reason: line.reason ?? null
  }))
})
