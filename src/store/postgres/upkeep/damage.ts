/**
 * Finds rows that contradict each other, one page at a time, and repairs what can be repaired. No move leaves such: it
 * takes a hand in the tables, a partial restore, or a fault.
 *
 * A page is one look with one snapshot, in which every move is whole. What looks wrong is then locked, or fenced by an
 * end, and looked at again with a new snapshot before anything is done or said about it.
 */
import type { PgClient } from "@effect/sql-pg/PgClient"
import * as Effect from "effect/Effect"
import type { SqlError } from "effect/sql/SqlError"
import { makeId } from "../../../domain/Job.ts"
import type { Store, WorkerId } from "../../Store.ts"
import type { Damage } from "../../Upkeep.ts"
import { slots } from "../migrations/jobs/tables.ts"
import { int2s, int8s } from "../parameters.ts"
import { pointers } from "../pointers.ts"

export interface Page {
  readonly repaired: Readonly<Record<string, number>>
  readonly damage: ReadonlyArray<Damage>
  readonly queues: ReadonlyArray<string>
  /** Where the next page of this step begins. `undefined`: this was the last. */
  readonly next: bigint | undefined
}

/** A page of one table, by its key. */
export type Step = (after: bigint, limit: number, crashBudget: number) => Effect.Effect<Page, SqlError>

const window = 10_000 // bodies a page reads at most: nearly all are over, and told so by one look at an index

export const stepsOver = (
  sql: PgClient,
  schema: string,
  rescueWorker: Store["Service"]["rescueWorker"]
): ReadonlyArray<Step> => {
  const { ticketColumns, ticketOf } = pointers(schema)

  const isOver = (job: string, slot: string) => `EXISTS (
      SELECT FROM ${schema}.attempt_end AS done
      WHERE done.job = ${job} AND done.slot = ${slot} AND done.final IS NOT NULL AND done.final <> 'revived'
    )`

  /** How many pointers a body that is not over has. Each is looked up by its index: a join would read whole tables. */
  const standing = (slot: number, body: string) => `
      (SELECT count(*) FROM ${schema}.timed WHERE timed.job = ${body}.id) +
      (SELECT count(*) FROM ${schema}.wait WHERE wait.job = ${body}.id) +
      (SELECT count(*) FROM ${schema}.ticket WHERE ticket.again = ${body}.id AND ticket.slot = ${body}.slot) +
      (SELECT count(*) FROM ${schema}.ticket WHERE ticket.id = ${body}.ticket AND ticket.again IS NULL AND ticket.jobs @> ${body}.id AND ticket.slot = ${body}.slot) +
      (SELECT count(*) FROM ${schema}.lease WHERE lease.slot = ${body}.slot AND lease.jobs @> ${body}.id AND NOT EXISTS (
        SELECT FROM ${schema}.attempt_end_${slot} AS done
        WHERE done.job = ${body}.id AND done.slot = ${body}.slot AND done.attempt = lease.attempt
      ))`
  const unfinished = (slot: number, body: string) => `NOT EXISTS (
        SELECT FROM ${schema}.attempt_end_${slot} AS done
        WHERE done.job = ${body}.id AND done.slot = ${body}.slot AND done.final IS NOT NULL AND done.final <> 'revived'
      )`

  const bodiesPage = (slot: number) => `
    WITH read AS MATERIALIZED (
      SELECT id, ticket, slot FROM ${schema}.job_${slot} WHERE id > $1 ORDER BY id LIMIT ${window}
    ), page AS MATERIALIZED (
      SELECT * FROM read WHERE ${unfinished(slot, "read")} ORDER BY id LIMIT $2
    )
    SELECT page.id, page.slot, ${standing(slot, "page")} AS pointers, false AS last FROM page
    UNION ALL
    SELECT CASE WHEN (SELECT count(*) FROM page) = $2 THEN (SELECT max(id) FROM page) ELSE max(id) END, 0, -1,
      count(*) < ${window} AND (SELECT count(*) FROM page) < $2
    FROM read`

  // The end is the fence: of two that repair one job, one writes it.
  const revive = (slot: number) => `
    WITH lost AS MATERIALIZED (
      SELECT body.* FROM ${schema}.job_${slot} AS body
      WHERE body.id = ANY ($1) AND ${unfinished(slot, "body")} AND ${standing(slot, "body")} = 0
    ), last AS (
      SELECT lost.id AS job, lost.slot, lost.priority, lost.queue, lost.kind, lost.deadline_ms, past.*
      FROM lost CROSS JOIN LATERAL (
        SELECT greatest(coalesce(max(attempt), 0), (
            SELECT coalesce(max((line ->> 'attempt')::int), 0) FROM jsonb_array_elements(coalesce(lost.history, '[]')) AS line
          )) AS attempt,
          count(*) FILTER (WHERE state IN ('failed', 'died')) AS failures, count(*) FILTER (WHERE state = 'rescued') AS crashes
        FROM ${schema}.attempt_end_${slot} AS done WHERE done.job = lost.id AND done.slot = lost.slot
      ) past
    ), ended AS (
      INSERT INTO ${schema}.attempt_end (job, attempt, slot, state, queue, priority, reason)
      SELECT job, attempt + 1, slot, 'repaired', queue, priority, 'nothing said where it stood' FROM last
      ON CONFLICT DO NOTHING RETURNING job
    ), ready AS (
      INSERT INTO ${schema}.ticket (${ticketColumns})
      SELECT ${ticketOf("attempt + 1")} FROM last WHERE job IN (SELECT job FROM ended)
    )
    SELECT queue, count(*)::int AS jobs FROM last WHERE job IN (SELECT job FROM ended) GROUP BY queue`

  const ambiguous = (slot: number) => `
    SELECT body.id, body.slot FROM ${schema}.job_${slot} AS body
    WHERE body.id = ANY ($1) AND ${unfinished(slot, "body")} AND ${standing(slot, "body")} > 1`

  const bodies = (slot: number) =>
    Effect.fnUntraced(function* (after: bigint, limit: number) {
      const rows = yield* sql.unsafe<{
        readonly id: bigint | null
        readonly slot: number
        readonly pointers: bigint
        readonly last: boolean
      }>(bodiesPage(slot), [after, limit])
      const end = rows.find(({ pointers }) => pointers === -1n)!
      const idsOf = (which: (count: bigint) => boolean) =>
        rows.flatMap(({ id, pointers }) => (pointers >= 0n && which(pointers) ? [id!] : []))
      const lost = idsOf((count) => count === 0n)
      const twice = idsOf((count) => count > 1n)
      const revived =
        lost.length === 0
          ? []
          : yield* sql.unsafe<{ readonly queue: string; readonly jobs: number }>(revive(slot), [int8s(lost)])
      const still =
        twice.length === 0
          ? []
          : yield* sql.unsafe<{ readonly id: bigint; readonly slot: number }>(ambiguous(slot), [int8s(twice)])
      return {
        repaired: { "body without a pointer": revived.reduce((sum, { jobs }) => sum + jobs, 0) },
        damage: still.map((row) => ({ kind: "job with several pointers", id: makeId(Math.abs(row.slot), row.id) })),
        queues: revived.map(({ queue }) => queue),
        next: end.last || end.id === null ? undefined : end.id
      } satisfies Page
    })

  /** What in a row of jobs has no body, or a body that is over. */
  const baseless = (job: string, slot: string) =>
    `(NOT EXISTS (SELECT FROM ${schema}.job AS body WHERE body.id = ${job} AND body.slot = ${slot}) OR ${isOver(job, slot)})`

  const badJobs = `CROSS JOIN LATERAL (
      SELECT range_agg(int8range(one, one, '[]')) AS jobs, count(*)::int AS count
      FROM ${schema}.members(ticket.jobs) AS one
      CROSS JOIN LATERAL (SELECT ${baseless("one", "ticket.slot")} AS bad OFFSET 0) judged WHERE bad
    ) bad`
  const ticketsPage = `
    WITH page AS MATERIALIZED (SELECT * FROM ${schema}.ticket WHERE id > $1 ORDER BY id LIMIT $2)
    SELECT ticket.id, ticket.shelf, bad.count AS bad FROM page AS ticket ${badJobs} ORDER BY ticket.id`
  const lockTickets = `
    SELECT id, shelf FROM ${schema}.ticket
    WHERE (id, shelf) IN (SELECT * FROM unnest($1::bigint[], $2::smallint[])) FOR UPDATE SKIP LOCKED`
  const dropJobs = `
    WITH held AS MATERIALIZED (
      SELECT ticket.id, ticket.shelf, ticket.size, bad.jobs, bad.count FROM ${schema}.ticket ${badJobs}
      WHERE (ticket.id, ticket.shelf) IN (SELECT * FROM unnest($1::bigint[], $2::smallint[])) AND bad.count > 0
    ), gone AS (
      DELETE FROM ${schema}.ticket USING held
      WHERE ticket.id = held.id AND ticket.shelf = held.shelf AND held.count = held.size
    ), less AS (
      UPDATE ${schema}.ticket SET jobs = ticket.jobs - held.jobs, size = held.size - held.count FROM held
      WHERE ticket.id = held.id AND ticket.shelf = held.shelf AND held.count < held.size
    )
    SELECT coalesce(sum(count), 0)::int AS dropped FROM held`

  const tickets = Effect.fnUntraced(function* (after: bigint, limit: number) {
    const rows = yield* sql.unsafe<{ readonly id: bigint; readonly shelf: number; readonly bad: number }>(ticketsPage, [
      after,
      limit
    ])
    const bad = rows.filter((row) => row.bad > 0)
    let dropped = 0
    if (bad.length > 0) {
      const keys = (of: typeof bad | ReadonlyArray<{ readonly id: bigint; readonly shelf: number }>) => [
        int8s(of.map(({ id }) => id)),
        int2s(of.map(({ shelf }) => shelf))
      ]
      const held = yield* sql.unsafe<{ readonly id: bigint; readonly shelf: number }>(lockTickets, keys(bad))
      const [row] = yield* sql.unsafe<{ readonly dropped: number }>(dropJobs, keys(held))
      dropped = row!.dropped
    }
    const repaired = { "ticket without a body": dropped }
    return { repaired, damage: [], queues: [], next: endOf(rows, limit) } satisfies Page
  })

  /** Pointers of one job each: those that lead nowhere are dropped. */
  const single = (table: "timed" | "wait", kind: string) => {
    const page = `
      SELECT page.*, ${baseless("page.id", "page.slot")} AS bad
      FROM (SELECT job AS id, slot FROM ${schema}.${table} WHERE job > $1 ORDER BY job LIMIT $2 OFFSET 0) page ORDER BY page.id`
    const lock = `SELECT job FROM ${schema}.${table} WHERE job = ANY ($1) FOR UPDATE SKIP LOCKED`
    const drop = `
      DELETE FROM ${schema}.${table} AS pointer WHERE job = ANY ($1) AND ${baseless("pointer.job", "pointer.slot")} RETURNING job`
    return Effect.fnUntraced(function* (after: bigint, limit: number) {
      const rows = yield* sql.unsafe<{ readonly id: bigint; readonly slot: number; readonly bad: boolean }>(page, [
        after,
        limit
      ])
      const bad = rows.filter((row) => row.bad).map(({ id }) => id)
      const held = bad.length === 0 ? [] : yield* sql.unsafe<{ readonly job: bigint }>(lock, [int8s(bad)])
      const dropped = held.length === 0 ? [] : yield* sql.unsafe(drop, [int8s(held.map(({ job }) => job))])
      const repaired = { [kind]: dropped.length }
      return { repaired, damage: [], queues: [], next: endOf(rows, limit) } satisfies Page
    })
  }

  const waits = Effect.fnUntraced(function* (after: bigint, limit: number) {
    const page = yield* single("wait", "wait without a body")(after, limit)
    if (page.next !== undefined) return page
    const endless = yield* sql.unsafe<{ readonly job: bigint; readonly slot: number }>(
      `SELECT job, slot FROM ${schema}.wait WHERE expires_at = 'infinity' ORDER BY job LIMIT $1`,
      [limit]
    )
    const damage = endless.map(({ job, slot }) => ({
      kind: "wait that never expires",
      id: makeId(Math.abs(slot), job)
    }))
    return { ...page, damage } satisfies Page
  })

  const leases = Effect.fnUntraced(function* (after: bigint, limit: number, crashBudget: number) {
    const rows = yield* sql.unsafe<{ readonly id: bigint; readonly worker: WorkerId; readonly orphan: boolean }>(
      `SELECT page.id, page.worker, NOT EXISTS (SELECT FROM ${schema}.worker WHERE worker.id = page.worker) AS orphan
       FROM (SELECT id, worker FROM ${schema}.lease WHERE id > $1 ORDER BY id LIMIT $2) page ORDER BY page.id`,
      [after, limit]
    )
    const nobody = new Set(rows.filter(({ orphan }) => orphan).map(({ worker }) => worker))
    let rescued = 0
    const queues: Array<string> = []
    for (const worker of nobody) {
      const moved = yield* rescueWorker(worker, { limit, crashBudget })
      rescued += moved.ready + moved.dead + moved.cancelled
      queues.push(...moved.queues)
    }
    const repaired = { "lease of nobody": rescued }
    return { repaired, damage: [], queues, next: endOf(rows, limit) } satisfies Page
  })

  return [
    ...Array.from({ length: slots + 1 }, (_, slot) => bodies(slot)),
    tickets,
    single("timed", "time without a body"),
    waits,
    leases
  ]
}

/** Where the page after these begins. */
const endOf = (rows: ReadonlyArray<{ readonly id: bigint }>, limit: number): bigint | undefined =>
  rows.length < limit ? undefined : rows.at(-1)!.id
