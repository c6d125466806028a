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
import { int2s, int4s, int8s, texts } from "./parameters.ts"
import { type Turn, Turns, type Walk } from "./Turns.ts"
import { walking } from "./walking.ts"

/** What the jobs of a lease have in common. */
interface LeaseRow {
  readonly lease: LeaseId
  readonly job: null
  /** The ticket, if its one job was ready before. */
  readonly ord: bigint | null
  readonly moment: Date
  readonly content: {
    readonly slot: number
    readonly kind: string
    readonly queue: string
    readonly priority: number
    readonly attempt: number
    readonly failures: number
    readonly crashes: number
    readonly deadline: number | null
    readonly begun: boolean
  }
}

interface JobRow {
  readonly lease: LeaseId
  readonly job: bigint
  readonly ord: bigint
  readonly moment: Date
  readonly content: unknown
  readonly details: unknown
}

interface LookRow {
  readonly lease: null
  readonly ord: bigint
  /** Tickets that others held. */
  readonly content: ReadonlyArray<readonly [queue: string, turn: number, ticket: number]>
}

type Row = LookRow | LeaseRow | JobRow

/** Crashes that no job has: all may be claimed. */
const nobody = 2 ** 31 - 1

export const claiming = Effect.fnUntraced(function* (sql: PgClient, schema: string, open: OpenLeases) {
  const turns = new Turns()
  const walk = walking(sql, schema)
  const scope: Scope.Scope = yield* Effect.scope
  const statement = `SELECT * FROM ${schema}.claim($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)`

  const walkBeside = Effect.fnUntraced(function* (due: Walk) {
    const walked = yield* walk(due)
    turns.walked(due, walked, yield* Clock.currentTimeMillis)
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
      int2s(known.map(({ turn }) => turn)),
      int8s(known.map(({ mark }) => mark))
    ])

    const now = yield* Clock.currentTimeMillis
    const leases = new Map<LeaseId, Lease>()
    const jobs: Array<TakenJob> = []
    let missed: LookRow["content"] = []
    let micros = 0
    for (const row of rows) {
      if (row.lease === null) {
        missed = row.content
        micros = Number(row.ord)
      } else if (row.job === null) {
        leases.set(row.lease, leaseOf(row, names.indexOf(row.content.queue)))
      } else {
        const lease = leases.get(row.lease)!
        if (row.ord > lease.ticket) Object.assign(lease, { ticket: row.ord, enqueuedAt: row.moment.getTime() })
        lease.jobs++
        jobs.push({ row, lease })
      }
    }
    jobs.sort(inTurn)
    for (const { id, jobs } of leases.values()) open.claimed(id, jobs)
    // A fresh ticket is as old as its jobs, and one of a job that is ready again may be new.
    const taken = [...leases.values()].map((lease) => ({
      ...lease,
      ticket: missed.reduce((least, held) => leastOf(lease, least, held), lease.ticket),
      drawnAt: lease.fresh ? now - (lease.claimedAt - lease.enqueuedAt) : now
    }))
    turns.claimed(taken, now, known.length === 0 ? micros : undefined)

    // Beside the claim, because it may take a while; a failed one is made up for by the next. A transaction that the
    // claim is part of has one connection, and it is not for this.
    const due = byItself ? turns.walkDue(now) : undefined
    if (due !== undefined) yield* Effect.forkIn(Effect.ignore(walkBeside(due)), scope)

    const wanted = queues.reduce((sum, { ahead, limit }) => sum + limit + ahead, 0)
    const found =
      jobs.length === wanted ? "full" : missed.length > 0 ? "contended" : jobs.length === 0 ? "empty" : "short"
    return { jobs: jobs.map(claimedOf), found } satisfies Claim
  })

  return { claim } satisfies Pick<Store["Service"], "claim">
})

interface Lease extends Turn {
  readonly id: LeaseId
  readonly asked: number
  readonly slot: number
  readonly common: Omit<Claimed, "id" | "payload" | "details" | "enqueuedAt">
  readonly fresh: boolean
  readonly claimedAt: number
  /** The last of its tickets, and since when that one's jobs are there. */
  ticket: bigint
  enqueuedAt: number
  jobs: number
}

interface TakenJob {
  readonly row: JobRow
  readonly lease: Lease
}

const leaseOf = ({ content, lease, moment, ord }: LeaseRow, asked: number): Lease => {
  const { deadline, slot, ...same } = content
  return {
    id: lease,
    asked,
    slot: Math.abs(slot),
    queue: same.queue,
    kind: same.kind,
    turn: 2 * same.priority + (ord === null ? 1 : 0),
    common: {
      ...same,
      lease,
      claimedAt: DateTime.fromDateUnsafe(moment),
      deadline: Option.map(Option.fromNullishOr(deadline), Duration.millis)
    },
    fresh: ord === null,
    claimedAt: moment.getTime(),
    ticket: 0n,
    enqueuedAt: 0,
    jobs: 0
  }
}

/** The next claim begins no later than at what another held: that one may have taken a part. */
const leastOf = (lease: Turn, least: bigint, [queue, turn, ticket]: LookRow["content"][number]) =>
  queue === lease.queue && turn === lease.turn && ticket < least ? BigInt(ticket) : least

/** Jobs of one lease come together; they were taken queue by queue, in turn and by age. */
const inTurn = (a: TakenJob, b: TakenJob) =>
  a.lease.asked - b.lease.asked ||
  a.lease.turn - b.lease.turn ||
  Number(a.row.ord - b.row.ord) ||
  Number(a.row.job - b.row.job)

/** Field by field: to spread what they have in common takes three times as long. */
const claimedOf = ({ lease: { common, slot }, row }: TakenJob): Claimed => ({
  id: makeId(slot, row.job),
  lease: common.lease,
  kind: common.kind,
  queue: common.queue,
  priority: common.priority,
  attempt: common.attempt,
  failures: common.failures,
  crashes: common.crashes,
  payload: row.content,
  details: row.details,
  enqueuedAt: row.moment.getTime(),
  claimedAt: common.claimedAt,
  deadline: common.deadline,
  begun: common.begun
})
