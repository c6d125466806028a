/**
 * Holds everything the in-memory store knows: jobs with their one pointer and their history, leases, waits and workers.
 * Every move goes through `put`, which consumes a job's pointer by replacing it. Nothing here waits, so a move that is
 * one synchronous function is one transaction.
 */
import { storableText } from "../../domain/json.ts"
import type { EndState, Expiry } from "../../domain/Attempt.ts"
import type { EventId, EventType } from "../../domain/Event.ts"
import { type JobId, numberOf, type Place, places } from "../../domain/Job.ts"
import type { Note } from "../../domain/Note.ts"
import type { About, LaneRun, LeaseId, Moved, MoveResult, Serves, WorkerId } from "../Store.ts"
import type { QueueStats } from "../Upkeep.ts"
import * as Option from "effect/Option"

/** Milliseconds of Effect's clock. */
export type Time = number

/** What the places disagree about. Everything else a job carries through all of them. */
export type Pointer =
  | { readonly place: "scheduled"; readonly runAt: Time }
  /** `turn` grows with every job that becomes ready; those that were ready before go ahead of fresh ones. */
  | { readonly place: "ready"; readonly fresh: boolean; readonly turn: number }
  | { readonly place: "running"; readonly lease: Lease }
  | { readonly place: "waiting"; readonly token: string; readonly expiresAt: Time; readonly onExpiry: Expiry }
  | { readonly place: "completed" | "cancelled" | "dead" }

export interface Line {
  readonly attempt: number
  readonly state: EndState
  readonly worker?: WorkerId | undefined
  readonly error?: unknown
  readonly output?: unknown
  readonly reason?: string | undefined
}

export interface Job {
  readonly id: JobId
  readonly kind: string
  readonly payload: unknown
  readonly details: unknown
  readonly enqueuedAt: Time
  readonly deadline: Time | undefined
  queue: string
  priority: number
  pointer: Pointer
  /** The last number used: by a claim, or by an end from outside. */
  attempt: number
  failures: number
  crashes: number
  /** When it came to where it stands. */
  since: Time
  /** Why somebody wants the running attempt cancelled. */
  cancelling: string | undefined
  readonly history: Array<Line>
}

export interface Lease {
  readonly id: LeaseId
  readonly worker: WorkerId
  readonly claimedAt: Time
  begun: boolean
  /** Runs once it has begun. */
  deadline: Time | undefined
  /** Those whose attempt has not ended. */
  readonly jobs: Set<Job>
}

export interface Worker {
  readonly id: WorkerId
  readonly name: string
  readonly serves: Serves | undefined
  readonly about: About | undefined
  beats: number
  beatAt: Time
  dead: boolean
  deadSince: Time | undefined
}

export interface Told {
  readonly id: EventId
  readonly type: EventType
  readonly at: Time
  readonly job: JobId
  readonly kind: string
  readonly queue: string
  readonly attempt: number
  readonly details: Readonly<Record<string, unknown>>
  position: bigint | undefined
  takenAt: Time
  tries: number
  delivered: boolean
}

export interface Contents {
  readonly jobs: Map<JobId, Job>
  /** Gone, but what came of their attempts is known: one that is reported again is no late one. */
  readonly purged: Map<JobId, Job>
  readonly at: Readonly<Record<Place, Set<Job>>>
  readonly leases: Map<LeaseId, Lease>
  readonly workers: Map<WorkerId, Worker>
  readonly notes: Map<JobId, Map<string, Note>>
  /** The last job enqueued under each key. */
  readonly uniques: Map<string, { readonly id: JobId; readonly since: Time; readonly until: Time }>
  /** The last count of all jobs, and the last number that it counted. */
  stats: { takenAt: Time; over: Time | undefined; last: bigint; queues: ReadonlyArray<QueueStats> } | undefined
  /** The instant of the move that is being made. */
  now: Time
  readonly paused: Set<string>
  /** `until` is when the lead runs out. */
  leader: { term: bigint; holder: string | undefined; since: Time; until: Time }
  /** Since when somebody has looked at the workers without a break, and when last. */
  watch: { since: Time; lookedAt: Time }
  readonly laneRuns: Map<string, Omit<LaneRun, "age" | "took"> & { readonly startedAt: Time; readonly took: Time }>
  events: Array<Told>
  /** When somebody last had somewhere to deliver events to. */
  sinkSeen: Time
  numbers: { job: bigint; lease: bigint; worker: bigint; turn: number; event: bigint; position: bigint }
}

export const make = (): Contents => ({
  jobs: new Map(),
  purged: new Map(),
  at: Object.fromEntries(places.map((place) => [place, new Set()])) as unknown as Contents["at"],
  leases: new Map(),
  workers: new Map(),
  notes: new Map(),
  uniques: new Map(),
  stats: undefined,
  now: 0,
  paused: new Set(),
  leader: { term: 0n, holder: undefined, since: 0, until: -Infinity },
  watch: { since: -Infinity, lookedAt: -Infinity },
  laneRuns: new Map(),
  events: [],
  sinkSeen: -Infinity,
  numbers: { job: 0n, lease: 0n, worker: 0n, turn: 0, event: 0n, position: 0n }
})

/** Consumes the job's pointer and writes the next one. */
export const put = (contents: Contents, job: Job, pointer: Pointer): Place => {
  remove(contents, job)
  job.pointer = pointer
  job.since = contents.now
  contents.at[pointer.place].add(job)
  if (pointer.place === "running") pointer.lease.jobs.add(job)
  return pointer.place
}

export const remove = (contents: Contents, job: Job): void => {
  const { pointer } = job
  contents.at[pointer.place].delete(job)
  if (pointer.place === "running") {
    job.cancelling = undefined
    pointer.lease.jobs.delete(job)
    if (pointer.lease.jobs.size === 0) contents.leases.delete(pointer.lease.id)
  }
}

/** What was ready before, in whatever way it comes back, goes ahead of fresh jobs. */
export const putReady = (contents: Contents, job: Job): Place =>
  put(contents, job, { place: "ready", fresh: false, turn: ++contents.numbers.turn })

/** A time that has come already is no time at all. */
export const putDelayed = (contents: Contents, job: Job, now: Time, delay: Time): Place =>
  delay <= 0 ? putReady(contents, job) : put(contents, job, { place: "scheduled", runAt: now + delay })

const storableLine = <L extends Pick<Line, "reason">>(line: L): L =>
  line.reason === undefined ? line : { ...line, reason: storableText(line.reason) }

/** Writes the line of something that came from outside. It uses up a number, as an attempt would. */
export const writeOutside = (job: Job, line: Omit<Line, "attempt" | "worker">): void => {
  job.history.push({ ...storableLine(line), attempt: ++job.attempt })
}

/** Writes the line of the running attempt. */
export const writeAttempt = (job: Job, worker: WorkerId, line: Omit<Line, "attempt" | "worker">): void => {
  job.history.push({ ...storableLine(line), attempt: job.attempt, worker })
}

export const byNumber = (a: Job, b: Job): number => compare(numberOf(a.id), numberOf(b.id))

export const compare = <A extends number | bigint | string>(a: A, b: A): number => (a < b ? -1 : a > b ? 1 : 0)

/** Counts what one pass moved. */
export const tally = () => {
  const counts = { ready: 0, scheduled: 0, dead: 0, cancelled: 0 }
  const queues = new Set<string>()
  return {
    add: (job: Job, place: Place) => {
      if (place in counts) counts[place as keyof typeof counts]++
      if (place === "ready") queues.add(job.queue)
    },
    moved: (): Moved => ({ ...counts, queues: [...queues].toSorted() })
  }
}

/** Moves one job if it stands where `from` says, and tells where it stands otherwise. */
export const moveOne = (job: Job | undefined, from: ReadonlyArray<Place>, to: (job: Job) => Place): MoveResult => {
  if (job === undefined) return { moved: false, place: Option.none() }
  if (!from.includes(job.pointer.place)) return { moved: false, place: Option.some(job.pointer.place) }
  return { moved: true, place: Option.some(to(job)) }
}
