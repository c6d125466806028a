/** Says why a piece of storage cannot be emptied: who reads it, what runs from it, and which paused queue stands in it. */
import type { PgClient } from "@effect/sql-pg/PgClient"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { texts } from "../parameters.ts"

export const counted = (count: number, word: string) => `${count.toLocaleString("en")} ${word}${count === 1 ? "" : "s"}`

export const reasons = (sql: PgClient, schema: string) => {
  const readersStatement = `
    SELECT DISTINCT pid, application_name AS name FROM pg_locks JOIN pg_stat_activity USING (pid)
    WHERE relation IN (SELECT unnest($1::text[])::regclass) AND granted AND pid <> pg_backend_pid()
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
    ORDER BY pid LIMIT 3`

  const runningStatement = `
    SELECT lease.slot, lower(jobs) AS job, coalesce(worker.name, 'nobody') AS worker, sum(size) OVER ()::float8 AS jobs,
      (extract(epoch FROM clock_timestamp() - claimed_at) * 1000)::float8 AS age
    FROM ${schema}.lease LEFT JOIN ${schema}.worker ON worker.id = lease.worker
    WHERE lease.slot = $1 ORDER BY claimed_at LIMIT 1`

  const pausedStatement = (where: string) => `
    SELECT queue, sum(size)::float8 AS jobs, count(*)::float8 AS tickets FROM ${schema}.ticket
    WHERE ${where} = $1 AND queue IN (SELECT name FROM ${schema}.queue WHERE paused_at IS NOT NULL)
    GROUP BY queue ORDER BY jobs DESC LIMIT 3`

  const paused = (where: "slot" | "shelf", number: number) =>
    sql.unsafe<{ readonly queue: string; readonly jobs: number; readonly tickets: number }>(pausedStatement(where), [
      number
    ])

  return {
    /** Tables by name: whoever holds them now, for somebody did a moment ago. */
    readers: (...tables: ReadonlyArray<string>) =>
      Effect.map(
        sql.unsafe<{ readonly pid: number; readonly name: string }>(readersStatement, [
          texts(tables.map((table) => `${schema}.${table}`))
        ]),
        (rows) =>
          rows.length === 0
            ? "somebody read it at that moment"
            : `read by ${rows.map(({ name, pid }) => `${name === "" ? "a session" : name} (pid ${pid})`).join(", ")}`
      ),

    ofSlot: Effect.fnUntraced(function* (slot: number, alive: number) {
      const parts = alive > 0 ? [`${counted(alive, "job")} not over`] : []
      const [running] = yield* sql.unsafe<{
        readonly job: bigint
        readonly worker: string
        readonly jobs: number
        readonly age: number
      }>(runningStatement, [slot])
      if (running !== undefined) {
        const since = Duration.format(Duration.seconds(Math.round(running.age / 1_000)))
        parts.push(`${running.jobs} running, the oldest (${slot}-${running.job}) for ${since} on ${running.worker}`)
      }
      for (const { jobs, queue } of yield* paused("slot", slot)) {
        parts.push(`${jobs.toLocaleString("en")} in the paused queue ${queue}`)
      }
      return parts.join("; ") || null
    }),

    ofShelf: Effect.fnUntraced(function* (shelf: number, tickets: number) {
      const waiting = (yield* paused("shelf", shelf)).map(
        (row) => `${row.tickets.toLocaleString("en")} of the paused queue ${row.queue}`
      )
      return [counted(tickets, "ticket"), ...waiting].join("; ")
    })
  }
}
