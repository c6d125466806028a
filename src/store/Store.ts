/**
 * Keeps jobs. One method per move of the contract's table, beside beats and reads.
 *
 * A move consumes the pointer that says where a job stands and writes the next one, in one transaction (the caller's,
 * if one is open). It can succeed once: of two callers one moves the job and the other is told where it stands.
 * The store's own clock decides what is due, stale or expired: the database's, or under test Effect's.
 */
import type * as Brand from "effect/Brand"
import * as Context from "effect/Context"
import type * as DateTime from "effect/DateTime"
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { SqlError } from "effect/sql/SqlError"
import type { Acceptance, Ending, EndState } from "../domain/Attempt.ts"
import type { Event, EventId } from "../domain/Event.ts"
import type { JobId, Place } from "../domain/Job.ts"
import type { Note, NoteName } from "../domain/Note.ts"
import type { Upkeep } from "./Upkeep.ts"

export type WorkerId = bigint & Brand.Brand<"lanekeeper/WorkerId">
export type LeaseId = bigint & Brand.Brand<"lanekeeper/LeaseId">
/** A time of leading. It only grows, whoever leads. */
export type Term = bigint & Brand.Brand<"lanekeeper/Term">

/**
 * The term that lanes run under, and every move of many jobs names: once a higher one exists, it moves nothing. `None`
 * names none and relies on row locks alone.
 */
export const UnderTerm = Context.Reference<Option.Option<Term>>("lanekeeper/store/UnderTerm", {
  defaultValue: Option.none
})

/** A job's body as it is written, once, at enqueue. */
export interface NewJob {
  readonly kind: string
  readonly queue: string
  readonly priority: number
  /** JSON, as the kind's Schema encoded it. */
  readonly payload: unknown
  /** The payload as text, from who has written it. */
  readonly json?: string | undefined
  /** Counted from the store's clock. A job without a time, or whose time has come, is ready at once. */
  readonly runIn?: Duration.Duration | undefined
  readonly runAt?: DateTime.Utc | undefined
  /** How long one attempt may be held before it is rescued although its worker is healthy. */
  readonly deadline?: Duration.Duration | undefined
  /** JSON the store carries and does not read: policies, tags, metadata, trace context. */
  readonly details?: unknown
}

/** Lets a job in unless the last one under its key stands where it counts. Keys belong to a kind. */
export interface Uniqueness {
  /** A key of the caller's own, some fields of the payload, or all of it. */
  readonly by: { readonly key: string } | { readonly fields: ReadonlyArray<string> } | "payload"
  readonly places: ReadonlyArray<Place>
  /** A job enqueued longer ago does not count. */
  readonly period?: Duration.Duration | undefined
  /**
   * What becomes of the two. `keep`: the one there stays, the new one is not enqueued. `debounce`: the same, and one
   * that is scheduled is put off to the new one's time. `replace`: the one there is cancelled for the new one. `merge`:
   * the same, and the new one has the fields of both payloads.
   */
  readonly onConflict: "keep" | "debounce" | "replace" | "merge"
}

/** What came of enqueueing a job under a key. `id` is the job that is there now, `former` the one that gave way. */
export interface Enqueued {
  readonly id: JobId
  readonly outcome: "enqueued" | "kept" | "debounced" | "replaced" | "merged"
  readonly former: Option.Option<JobId>
}

/** One attempt, handed to a worker under a lease. */
export interface Claimed {
  readonly id: JobId
  readonly lease: LeaseId
  readonly kind: string
  readonly queue: string
  readonly priority: number
  /** Grows with every claim, whatever became of the one before. */
  readonly attempt: number
  readonly failures: number
  readonly crashes: number
  readonly payload: unknown
  readonly details: unknown
  /** In milliseconds since 1970: few ask, and a DateTime for each would cost. */
  readonly enqueuedAt: number
  readonly claimedAt: DateTime.Utc
  /** How long the attempt may be held from when it begins. */
  readonly deadline: Option.Option<Duration.Duration>
  /** `false`: it was claimed ahead, and begins when its worker says so. */
  readonly begun: boolean
}

export interface Claim {
  readonly jobs: ReadonlyArray<Claimed>
  /** `short`: fewer than wanted. `contended`: others held what there was. Only after `empty` is it worth waiting. */
  readonly found: "full" | "short" | "contended" | "empty"
}

export interface ClaimOptions {
  readonly worker: WorkerId
  /** The kinds this worker has handlers for. Jobs of others are left alone and are not in the way. */
  readonly kinds: ReadonlyArray<string>
  readonly queues: ReadonlyArray<{
    readonly queue: string
    readonly limit: number
    /**
     * As many more, once `limit` is reached, to be held until `begin`. They have leases of their own: a rescue of these
     * charges no crash, and their hard deadline does not run. Defaults to 0.
     */
    readonly ahead?: number | undefined
  }>
  /** Of the jobs that crashed `from` times or more this claim takes `room` in all. Others of them are not in the way. */
  readonly brink?: { readonly from: number; readonly room: number } | undefined
}

export interface AttemptEnd {
  readonly id: JobId
  readonly lease: LeaseId
  readonly attempt: number
  readonly ran: Duration.Duration
  readonly ending: Ending
  /** Whether others are told, by an event that is written with it. A death always is. */
  readonly tell?: { readonly kind: string; readonly queue: string } | undefined
}

/** What an attempt leaves for the ones after it. */
export interface NewNote {
  readonly id: JobId
  readonly lease: LeaseId
  readonly attempt: number
  readonly name: NoteName
  readonly value: unknown
}

/** What one pass moved, and the queues to wake. */
export interface Moved {
  readonly ready: number
  readonly scheduled: number
  readonly dead: number
  readonly cancelled: number
  readonly queues: ReadonlyArray<string>
}

/** What one move of one job did. Without `moved` the job stands where `place` says; `None`: there is no such job. */
export interface MoveResult {
  readonly moved: boolean
  readonly place: Option.Option<Place>
  /** What keeps a dead job from being driven again: the last job under its unique key is another, and not over. */
  readonly heldBy?: JobId | undefined
}

export interface RescueOptions {
  /** Leases, oldest first. Fresh jobs of one claim share one for each queue, kind, priority, deadline and "begun". */
  readonly limit: number
  /** How many times a job may be rescued. One more and it is dead. Attempts that had not begun are not counted. */
  readonly crashBudget: number
}

/** How a wait is ended from outside. */
export type Resumption =
  | { readonly _tag: "Resumed"; readonly value?: unknown; readonly in?: Duration.Duration | undefined }
  | { readonly _tag: "Completed"; readonly output?: unknown }
  | { readonly _tag: "Died"; readonly reason: string }
  | { readonly _tag: "Cancelled"; readonly reason: string }

export interface Beat {
  /** `false`: this worker was declared dead. What it holds is no longer its own. */
  readonly alive: boolean
  /**
   * Leases the store has for this worker, oldest first. One that it holds and that is missing is lost: the store was
   * restored, or its server crashed, before the claim was safe. The job is ready again, its outcome will be refused.
   */
  readonly leases: ReadonlyArray<LeaseId>
  /** Running jobs somebody wants cancelled. */
  readonly cancelling: ReadonlyArray<JobId>
}

/** What a worker would claim. */
export interface Serves {
  readonly kinds: ReadonlyArray<string>
  readonly queues: ReadonlyArray<string>
}

/** What a process is, for those who look. */
export interface About {
  readonly role: "worker" | "maintenance"
  /** Of the release it runs. */
  readonly version: string
  /** The name under which it would lead. */
  readonly holder: string
  /** The lanes it would run then. */
  readonly lanes: ReadonlyArray<string>
}

export interface WorkerRow {
  readonly id: WorkerId
  readonly name: string
  /** `None`: it did not say. */
  readonly serves: Option.Option<Serves>
  readonly beatAge: Duration.Duration
  /** Grows with every beat: "unchanged" can be seen without comparing clocks. */
  readonly beats: number
  readonly declaredDead: boolean
}

/** A worker that was declared dead and in whose name leases are still open. */
export interface StaleWorker {
  readonly id: WorkerId
  readonly name: string
  readonly beatAge: Duration.Duration
}

export interface Leader {
  readonly term: Term
  /** `None` after a clean end and before the first term. */
  readonly holder: Option.Option<string>
  /** For how long it has led. */
  readonly leading: Duration.Duration
}

/** Since when the oldest has been due; zero where nothing is. */
export interface Overdue {
  /** For how long, under watch, that worker has been silent that has been silent longest of those that hold leases. */
  readonly silent: Duration.Duration
  readonly scheduled: Duration.Duration
  readonly deadline: Duration.Duration
  readonly waiting: Duration.Duration
  /** Events nobody has given a position. */
  readonly untold: Duration.Duration
}

/** How often an event can be refused and offered again at once. */
export const refusals = 3

export interface EventsTended {
  readonly numbered: number
  readonly forgotten: number
  /** Some have a position and have not been delivered. */
  readonly undelivered: boolean
}

/** How the last run of a lane went. */
export interface LaneRun {
  readonly lane: string
  /** How long ago it began. */
  readonly age: Duration.Duration
  readonly took: Duration.Duration
  readonly rows: number
  /** In a row; 0 after a run that succeeded. */
  readonly failures: number
  readonly error: string | null
}

/** A line of a job's history, oldest first. */
export interface HistoryLine {
  readonly attempt: number
  readonly state: EndState
  readonly worker: Option.Option<WorkerId>
  readonly error: unknown
  readonly output: unknown
  readonly reason: string | null
}

export interface JobView {
  readonly id: JobId
  readonly kind: string
  /** Where its pointer says, or its last one said. The same holds for the priority. */
  readonly queue: string
  readonly priority: number
  readonly place: Place
  readonly attempt: number
  readonly failures: number
  readonly crashes: number
  readonly payload: unknown
  readonly details: unknown
  readonly enqueuedAt: DateTime.Utc
  /** When a scheduled job runs, a wait expires, or a running attempt is past its deadline. */
  readonly due: Option.Option<DateTime.Utc>
  /** Who runs it. */
  readonly worker: Option.Option<WorkerId>
  readonly history: ReadonlyArray<HistoryLine>
}

export interface PageOptions {
  readonly place: Place
  readonly queue?: string | undefined
  /** Jobs after this one, newest first. */
  readonly after?: JobId | undefined
  readonly limit: number
}

export class Store extends Context.Service<
  Store,
  Upkeep & {
    /** – → ready or scheduled. All of them or none; ids in the order given. */
    readonly enqueue: (jobs: ReadonlyArray<NewJob>) => Effect.Effect<ReadonlyArray<JobId>, SqlError>
    /** – → ready or scheduled, one after another, unless their keys say otherwise. All of them or none. */
    readonly enqueueUnique: (
      jobs: ReadonlyArray<NewJob & { readonly unique: Uniqueness }>
    ) => Effect.Effect<ReadonlyArray<Enqueued>, SqlError>
    /** Runs an effect that enqueues: all it enqueued or, when it fails, none. Joins a transaction that is open. */
    readonly atomically: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E | SqlError, R>
    /** Runs an effect when what was enqueued can be seen by others: at once, or when the open transaction commits. */
    readonly afterCommit: (effect: Effect.Effect<void>) => Effect.Effect<void>
    /** ready → running. By priority; then those that were ready before, before fresh ones; then by age. */
    readonly claim: (options: ClaimOptions) => Effect.Effect<Claim, SqlError>
    /**
     * The attempts of these leases, which were claimed ahead, start now: from here a rescue charges them and their hard
     * deadline runs. Answers the leases that are still this worker's, oldest first; none once it was declared dead.
     */
    readonly begin: (
      worker: WorkerId,
      leases: ReadonlyArray<LeaseId>
    ) => Effect.Effect<ReadonlyArray<LeaseId>, SqlError>
    /** running → wherever each ending leads. Answers in the order given. A cancel that waits wins over a next attempt. */
    readonly finish: (
      worker: WorkerId,
      ends: ReadonlyArray<AttemptEnd>
    ) => Effect.Effect<ReadonlyArray<Acceptance>, SqlError>

    /** Keeps a note that nobody has written yet. `false`: it is there already, or the attempt is no longer this lease's. */
    readonly remember: (worker: WorkerId, note: NewNote) => Effect.Effect<boolean, SqlError>
    /** Keeps notes, over those of their names. What is no longer an attempt's to say is left out. */
    readonly note: (worker: WorkerId, notes: ReadonlyArray<NewNote>) => Effect.Effect<void, SqlError>
    /** What attempts of a job have noted, oldest first. */
    readonly recall: (id: JobId) => Effect.Effect<ReadonlyArray<Note>, SqlError>

    // The moves of many jobs, down to `watch`, move nothing under a term that is not the last.

    /** scheduled → ready, for at most `limit` jobs whose time has come, the longest due first. */
    readonly promote: (options: { readonly limit: number }) => Effect.Effect<Moved, SqlError>
    /** running → ready, or dead when the crash budget is spent: what a worker declared dead still holds. */
    readonly rescueWorker: (worker: WorkerId, options: RescueOptions) => Effect.Effect<Moved, SqlError>
    /** running → ready or dead: attempts past their hard deadline. */
    readonly rescueOverdue: (options: RescueOptions) => Effect.Effect<Moved, SqlError>
    /**
     * Looks at every worker's beat, and declares those dead whose beat has stood unchanged, while somebody looked, for
     * longer than `staleAfter`. Where nobody has looked for more than half of that, looking begins again for all.
     * Answers with everybody declared dead who still holds leases.
     */
    readonly watch: (options: {
      readonly staleAfter: Duration.Duration
    }) => Effect.Effect<ReadonlyArray<StaleWorker>, SqlError>
    /** running → ready: leases of this worker that it does not hold, because the claim's answer was lost. */
    readonly release: (worker: WorkerId, leases: ReadonlyArray<LeaseId>) => Effect.Effect<Moved, SqlError>
    /** waiting → ready, dead or cancelled: waits nobody ended in time, by the policy each was parked with. */
    readonly expireWaits: (options: { readonly limit: number }) => Effect.Effect<Moved, SqlError>
    /** waiting → ready, scheduled, completed, dead or cancelled, from outside. */
    readonly resume: (token: string, how: Resumption) => Effect.Effect<MoveResult, SqlError>

    /** scheduled, ready, waiting → cancelled. A running job is marked: its worker hears of it with its next beat. */
    readonly cancel: (id: JobId, reason: string) => Effect.Effect<MoveResult, SqlError>
    /** scheduled, ready, waiting → dead. */
    readonly setAside: (id: JobId, reason: string) => Effect.Effect<MoveResult, SqlError>
    /** scheduled → ready */
    readonly runNow: (id: JobId) => Effect.Effect<MoveResult, SqlError>
    /** scheduled → scheduled, at a time counted from now. */
    readonly postpone: (id: JobId, to: Duration.Duration) => Effect.Effect<MoveResult, SqlError>
    /** ready → ready, in another queue or with another priority. */
    readonly reassign: (
      id: JobId,
      to: { readonly queue?: string | undefined; readonly priority?: number | undefined }
    ) => Effect.Effect<MoveResult, SqlError>
    /**
     * dead → ready, with its history and fresh counts of failures and crashes, and with its unique key, if it has one: not
     * while another job that was let in under that is not over.
     */
    readonly redrive: (id: JobId) => Effect.Effect<MoveResult, SqlError>
    /** dead → – */
    readonly purge: (id: JobId) => Effect.Effect<boolean, SqlError>

    /** Kinds other than these that have jobs ready in these queues: at most 100, by queue and kind. */
    readonly unhandled: (options: {
      readonly queues: ReadonlyArray<string>
      readonly kinds: ReadonlyArray<string>
    }) => Effect.Effect<ReadonlyArray<{ readonly kind: string; readonly queue: string }>, SqlError>

    /** No claim takes from a paused queue, whoever claims. */
    readonly pause: (queue: string) => Effect.Effect<void, SqlError>
    readonly unpause: (queue: string) => Effect.Effect<void, SqlError>
    readonly pausedQueues: Effect.Effect<ReadonlyArray<string>, SqlError>

    /**
     * Begins a row for this process, which its beats keep alive. Readers are told what a worker says it serves; claims
     * ask for themselves. Who says nothing about itself is a worker.
     */
    readonly register: (name: string, serves?: Serves, about?: About) => Effect.Effect<WorkerId, SqlError>
    readonly beat: (worker: WorkerId) => Effect.Effect<Beat, SqlError>
    /** Those that claim. `processes` has those that only maintain, too. */
    readonly workers: Effect.Effect<ReadonlyArray<WorkerRow>, SqlError>
    /**
     * Declares a worker dead if it has not beaten since `beats`. From then on its beats and claims are refused.
     * `false` when it has, or was declared dead before.
     */
    readonly declareDead: (worker: WorkerId, beats: number) => Effect.Effect<boolean, SqlError>
    /** Forgets a worker that left or was declared dead. `false` while leases are open in its name. */
    readonly forget: (worker: WorkerId) => Effect.Effect<boolean, SqlError>

    readonly leader: Effect.Effect<Leader, SqlError>
    /** Begins the next term and leads for `lease`, unless the time of somebody else has not run out. */
    readonly takeLead: (options: {
      readonly holder: string
      readonly lease: Duration.Duration
    }) => Effect.Effect<Option.Option<Term>, SqlError>
    /** Leads for `lease` from now. `false`: this term is over. */
    readonly keepLead: (term: Term, lease: Duration.Duration) => Effect.Effect<boolean, SqlError>
    /** Lets go of the lead, if this term still has it. */
    readonly resign: (term: Term) => Effect.Effect<void, SqlError>

    /** Keeps how the last run of each lane went. */
    readonly recordRuns: (runs: ReadonlyArray<LaneRun>) => Effect.Effect<void, SqlError>
    /** The last run of each lane that ever ran, by name. */
    readonly laneRuns: Effect.Effect<ReadonlyArray<LaneRun>, SqlError>
    /** How long the oldest thing of each kind has been due: what a lane should have moved and has not. */
    readonly overdue: Effect.Effect<Overdue, SqlError>

    /**
     * Gives their positions to events that can be seen by now, and forgets those older than `keep`; but none that wait to
     * be delivered, while there is a `sink` for them here, or was anywhere within that time. Nothing under a term that is
     * not the last; the same for taking them.
     */
    readonly tendEvents: (options: {
      readonly limit: number
      readonly keep: Duration.Duration
      readonly sink: boolean
    }) => Effect.Effect<EventsTended, SqlError>
    /**
     * Those next to deliver, by position, the least tried first: nobody else is given them until they were refused, or
     * for `stuckAfter`.
     */
    readonly takeEvents: (options: {
      readonly limit: number
      readonly stuckAfter: Duration.Duration
    }) => Effect.Effect<ReadonlyArray<Event>, SqlError>
    readonly eventsDelivered: (ids: ReadonlyArray<EventId>) => Effect.Effect<void, SqlError>
    /**
     * They can be taken again at once, `untried` as if they had not been taken; but what was tried `refusals` times and
     * refused each time waits as what is stuck does, so that it is in nobody's way.
     */
    readonly eventsRefused: (events: {
      readonly refused: ReadonlyArray<EventId>
      readonly untried: ReadonlyArray<EventId>
    }) => Effect.Effect<void, SqlError>
    /** By position, which grows as they become visible: read on after the last one you have. */
    readonly events: (options: {
      readonly after: bigint
      readonly limit: number
    }) => Effect.Effect<ReadonlyArray<Event>, SqlError>

    readonly place: (id: JobId) => Effect.Effect<Option.Option<Place>, SqlError>
    readonly show: (id: JobId) => Effect.Effect<Option.Option<JobView>, SqlError>
    readonly page: (options: PageOptions) => Effect.Effect<ReadonlyArray<JobView>, SqlError>
  }
>()("lanekeeper/store/Store") {}
