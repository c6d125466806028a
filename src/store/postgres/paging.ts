/**
 * Finds the jobs of a page, newest first: those of one place below a number. Each place is read in the order of a key
 * that it has anyway, from there on, so that a page costs what it holds. What a page of one queue passes over, of others,
 * it does read.
 *
 * A fresh ticket holds many jobs and has a number of its own, drawn just after theirs. By the order of tickets jobs come
 * nearly in theirs, a moment of other producers aside: so a page of ready jobs sorts what a thousand tickets more hold.
 */
import type { Place } from "../../domain/Job.ts"

const others = 1_000

/** In all: `$1` the number to stay below, `$2` how many, and `$3` the queue where one is asked for. */
export const paging = (schema: string): Readonly<Record<Place, (ofQueue: boolean) => string>> => {
  const here = (ofQueue: boolean) => (ofQueue ? " AND queue = $3" : "")

  const byJob = (table: string) => (ofQueue: boolean) =>
    `
    SELECT job, slot FROM ${schema}.${table} WHERE job < $1${here(ofQueue)} ORDER BY job DESC LIMIT $2`

  const byEnd = (final: string) => (ofQueue: boolean) =>
    `
    SELECT job, slot FROM ${schema}.over('${final}', $1, $2, ${ofQueue ? "$3" : "NULL"})`

  const ready = (ofQueue: boolean) => `
    (
      SELECT again AS job, slot FROM ${schema}.ticket WHERE again < $1${here(ofQueue)} ORDER BY again DESC LIMIT $2
    )
    UNION ALL
    (
      SELECT job, slot FROM (
        SELECT slot, jobs * int8multirange(int8range(NULL, $1)) AS jobs FROM (
          SELECT slot, jobs FROM ${schema}.ticket
          WHERE again IS NULL AND id <= (
            SELECT max(ticket) FROM (
              SELECT ticket FROM ${schema}.job WHERE id < $1 AND ticket IS NOT NULL ORDER BY id DESC LIMIT ${others}
            ) AS before
          )${here(ofQueue)}
          ORDER BY id DESC LIMIT $2 + ${others}
        ) AS near
        ORDER BY upper(jobs * int8multirange(int8range(NULL, $1))) DESC NULLS LAST LIMIT $2
      ) AS newest
      CROSS JOIN ${schema}.members(jobs) AS job
      ORDER BY job DESC LIMIT $2
    )
    ORDER BY job DESC LIMIT $2`

  // There are no more running than there is room for. Whether one has ended is looked up one by one, until there are enough.
  const running = (ofQueue: boolean) => `
    SELECT job, slot FROM (
      SELECT job, slot, attempt FROM ${schema}.lease CROSS JOIN ${schema}.members(jobs) AS job
      WHERE job < $1${here(ofQueue)} ORDER BY job DESC OFFSET 0
    ) AS held
    WHERE isempty(${schema}.ended(int8multirange(int8range(job, job, '[]')), attempt, slot))
    LIMIT $2`

  return {
    scheduled: byJob("timed"),
    waiting: byJob("wait"),
    dead: byJob("dead"),
    ready,
    running,
    completed: byEnd("completed"),
    cancelled: byEnd("cancelled")
  }
}
