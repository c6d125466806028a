import type { PgClient } from "@effect/sql-pg/PgClient"
import * as Clock from "effect/Clock"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import { makeId } from "../../domain/Job.ts"
import type { Claim, Claimed, ClaimOptions, LeaseId, Store } from "../Store.ts"
import { alone } from "./lazily.ts"
import type { OpenLeases } from "./OpenLeases.ts"
import { bools, int2s, int4s, int8s, texts } from "./parameters.ts"
import { type Turn, Turns } from "./Turns.ts"

interface JobRow extends Turn {
  readonly asked: number
  readonly lease: LeaseId
  readonly slot: number
  readonly id: bigint
  readonly ord: bigint
  readonly attempt: number
  readonly failures: number
  readonly crashes: number
  readonly payload: unknown
  readonly details: unknown
  readonly enqueued_at: Date
  readonly claimed_at: Date
  readonly deadline_ms: bigint | null
  readonly begun: boolean
}

interface TurnRow extends Turn {
  readonly asked: null
  readonly lease: null
  readonly id: bigint
  readonly ord: bigint
}

interface ContendedRow {
  readonly asked: 0
  readonly lease: null
}

/** Crashes that no job has: all may be claimed. */
const nobody = 2 ** 31 - 1

type Row = JobRow | TurnRow | ContendedRow

export const claiming = Effect.fnUntraced(function* (sql: PgClient, schema: string, open: OpenLeases) {
  const turns = new Turns()
  const scope: Scope.Scope = yield* Effect.scope
  const statement = `SELECT * FROM ${schema}.claim($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)`
  const walkStatement = `
    SELECT turn.*, (extract(epoch FROM clock_timestamp() - statement_timestamp()) * 1e6)::bigint AS micros
    FROM ${schema}.new_turns($1, $2, '{}', '{}', '{}', '{}') turn
    UNION ALL
    SELECT NULL, NULL, NULL, NULL, NULL, (extract(epoch FROM clock_timestamp() - statement_timestamp()) * 1e6)::bigint`

  const walk = Effect.fnUntraced(function* (queues: ReadonlyArray<string>, kinds: ReadonlyArray<string>) {
    const rows = yield* sql.unsafe<Turn & { readonly mark: bigint | null; readonly micros: bigint }>(walkStatement, [
      texts(kinds),
      texts(queues)
    ])
    const seen = rows.flatMap((row) => (row.mark === null ? [] : [[row, row.mark] as const]))
    turns.walked(seen, Number(rows.at(-1)!.micros), yield* Clock.currentTimeMillis)
  })

  const claim = Effect.fnUntraced(function* (options: ClaimOptions) {
    const queues = options.queues
      .map(({ ahead = 0, limit, queue }) => ({ queue, limit: Math.max(0, limit), ahead: Math.max(0, ahead) }))
      .filter(({ ahead, limit }) => limit + ahead > 0)
    if (queues.length === 0 || options.kinds.length === 0) return { jobs: [], found: "empty" } satisfies Claim
    const names = queues.map(({ queue }) => queue)
    const known = turns.known(names, options.kinds)
    const byItself = yield* alone(sql)
    const rows = yield* sql.unsafe<Row>(statement, [
      options.worker,
      texts(options.kinds),
      texts(names),
      int4s(queues.map(({ limit }) => limit)),
      int4s(queues.map(({ ahead }) => ahead)),
      options.brink?.from ?? nobody,
      options.brink?.room ?? 0,
      byItself,
      texts(known.map(({ queue }) => queue)),
      texts(known.map(({ kind }) => kind)),
      int2s(known.map(({ priority }) => priority)),
      bools(known.map(({ fresh }) => fresh)),
      int8s(known.map(({ mark }) => mark))
    ])

    const now = yield* Clock.currentTimeMillis
    const jobs: Array<JobRow> = []
    const walked: Array<readonly [Turn, bigint]> = []
    let micros = 0
    let contended = false
    for (const row of rows) {
      if (row.lease !== null) jobs.push(row)
      else if (row.asked === 0) contended = true
      else {
        walked.push([row, row.id])
        micros = Number(row.ord)
      }
    }
    if (known.length === 0) turns.walked(walked, micros, now)
    else for (const [turn, ticket] of walked) turns.saw(turn, ticket, now)
    jobs.sort(inTurn)
    open.claimed(jobs)
    for (const job of jobs) turns.saw(job, job.ord, now)

    // Beside the claim, because it may take a while; a failed one is made up for by the next. A transaction that the
    // claim is part of has one connection, and it is not for this.
    const due = byItself ? turns.walkDue(now) : undefined
    if (due !== undefined) yield* Effect.forkIn(Effect.ignore(walk(due.queues, due.kinds)), scope)

    const wanted = queues.reduce((sum, { ahead, limit }) => sum + limit + ahead, 0)
    const found = jobs.length === wanted ? "full" : contended ? "contended" : jobs.length === 0 ? "empty" : "short"
    return { jobs: jobs.map(decode), found } satisfies Claim
  })

  return { claim } satisfies Pick<Store["Service"], "claim">
})

/** Jobs of one lease come together; the turn they were taken in is queue, priority, again before fresh, age. */
const inTurn = (a: JobRow, b: JobRow) =>
  a.asked - b.asked ||
  a.priority - b.priority ||
  Number(a.fresh) - Number(b.fresh) ||
  Number(a.ord - b.ord) ||
  Number(a.id - b.id)

const decode = (row: JobRow): Claimed => ({
  id: makeId(Math.abs(row.slot), row.id),
  lease: row.lease,
  kind: row.kind,
  queue: row.queue,
  priority: row.priority,
  attempt: row.attempt,
  failures: row.failures,
  crashes: row.crashes,
  payload: row.payload,
  details: row.details,
  enqueuedAt: DateTime.fromDateUnsafe(row.enqueued_at),
  claimedAt: DateTime.fromDateUnsafe(row.claimed_at),
  deadline: Option.map(Option.fromNullishOr(row.deadline_ms), (millis) => Duration.millis(Number(millis))),
  begun: row.begun
})
