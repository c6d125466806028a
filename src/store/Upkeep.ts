/**
 * What maintenance asks of a store beside moves: storage to reclaim, rows to let go of, figures to keep for readers, and
 * damage to mend. Everything here does one batch, and nothing under a term that is not the last.
 */
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import type { SqlError } from "effect/sql/SqlError"
import type { Place } from "../domain/Job.ts"

/** What one pass over the storage did. */
export interface Reclaimed {
  /** Pieces emptied whole. */
  readonly emptied: number
  /** Tables written anew without their dead rows. */
  readonly rewritten: number
  /** Jobs, or tickets, that were moved on so that their piece can be emptied. */
  readonly evacuated: number
  /** Jobs that are over and past retention, taken out one by one where storage is not emptied whole. */
  readonly cleared: number
  /** There may be more. */
  readonly full: boolean
}

/** Tables of what is open or current now. They are small, and written anew without their dead rows. */
export const smallTables = [
  "lease",
  "timed",
  "wait",
  "unique_key",
  "worker",
  "leader",
  "watch",
  "lane_run",
  "look",
  "stats",
  "survey"
] as const

export type SmallTable = (typeof smallTables)[number]

export type PieceKind = "slot" | "shelf" | "attic" | SmallTable

/** A piece of storage: emptied whole, written anew, or, the attic, neither. */
export interface PieceState {
  readonly piece: PieceKind
  /** Of several. */
  readonly number: number
  readonly bytes: number
  /** What is written now goes there, if it is not a table, where everything goes. */
  readonly current: boolean
  /** What the last look at it found; nothing was worth a look yet in the one that is current. */
  readonly looked: Option.Option<Look>
}

export interface Look {
  readonly age: Duration.Duration
  /** Jobs, or tickets, or rows of a table. */
  readonly rows: number
  /** Those that are not over. */
  readonly alive: number
  /** Why it could not be emptied then, in a sentence. `None`: it was, or only retention keeps it. */
  readonly why: Option.Option<string>
}

/** What was past its retention, by what it was. */
export interface Retired {
  readonly dead: number
  readonly keys: number
  readonly notes: number
}

/** The figures of one moment, kept for readers. */
export interface Stats {
  readonly age: Duration.Duration
  /** Between this pass and the one before: what was enqueued and finished meanwhile. `None`: there was none before. */
  readonly over: Option.Option<Duration.Duration>
  readonly queues: ReadonlyArray<QueueStats>
}

export interface QueueStats {
  readonly queue: string
  readonly depth: Readonly<Record<Unfinished | "dead", number>>
  /** For how long the one that waits longest has been ready. */
  readonly oldest: Option.Option<Duration.Duration>
  /** Counted by what was there, what came and what is left: a transaction that commits late is missed. */
  readonly enqueued: number
  readonly finished: number
}

export type Unfinished = Exclude<Place, "completed" | "cancelled" | "dead">

/** A row that is in contradiction to the others, which no move can bring about. */
export interface Damage {
  readonly kind: string
  /** Of the job. */
  readonly id: string
}

/** One step of a walk over everything there is. */
export interface Reconciled {
  /** By kind of damage. */
  readonly repaired: Readonly<Record<string, number>>
  /** What only somebody who knows what happened could repair: found again by a second look, and not said before. */
  readonly reported: ReadonlyArray<Damage>
  /** They have new work. */
  readonly queues: ReadonlyArray<string>
  /** The walk has not come to its end. */
  readonly full: boolean
}

/** Damage that stands, as the last whole walk found it. */
export interface Findings {
  /** How long ago that walk ended. */
  readonly age: Duration.Duration
  readonly damage: Readonly<Record<string, number>>
}

/** A process that said it is there. */
export interface ProcessRow {
  readonly id: bigint
  readonly name: string
  readonly role: string
  readonly version: Option.Option<string>
  /** The lanes it runs, or would. */
  readonly lanes: ReadonlyArray<string>
  readonly leads: boolean
  readonly beatAge: Duration.Duration
  readonly declaredDead: boolean
}

/** What became of one index. */
export interface MendedIndex {
  readonly index: string
  readonly outcome: "rebuilt" | "dropped" | "left"
  /** Why it was left. */
  readonly reason: string | null
}

export interface Upkeep {
  /** Empties what is drained and moves on what keeps a little of it alive. Without work it is one statement. */
  readonly reclaim: (options: { readonly limit: number }) => Effect.Effect<Reclaimed, SqlError>
  readonly storage: Effect.Effect<ReadonlyArray<PieceState>, SqlError>

  /** Lets go of at most `limit` of each: the dead past their retention, and keys of jobs that are gone. */
  readonly retire: (options: { readonly limit: number }) => Effect.Effect<Retired, SqlError>
  /** Forgets those declared dead for longer than `after`, in whose name no lease is open. */
  readonly trimWorkers: (options: {
    readonly after: Duration.Duration
    readonly limit: number
  }) => Effect.Effect<number, SqlError>

  /** Everybody who registered and has not been forgotten. */
  readonly processes: Effect.Effect<ReadonlyArray<ProcessRow>, SqlError>

  /** Counts once and keeps the figures. `false`: somebody else just did. */
  readonly takeStats: Effect.Effect<boolean, SqlError>
  /** `None` until the first pass. */
  readonly stats: Effect.Effect<Option.Option<Stats>, SqlError>

  /**
   * ready → ready: what has waited for n times `step` has no priority worse than the worst but n. Only where something
   * better is ready in the same queue: elsewhere it is next anyway. Answers how many tickets, or jobs.
   */
  readonly lift: (options: {
    readonly step: Duration.Duration
    readonly limit: number
  }) => Effect.Effect<number, SqlError>

  /** Goes one page further on a walk over everything, which all processes share. Nothing while another walks. */
  readonly reconcile: (options: {
    readonly limit: number
    readonly crashBudget: number
  }) => Effect.Effect<Reconciled, SqlError>
  /** `None` until the first walk has ended. */
  readonly findings: Effect.Effect<Option.Option<Findings>, SqlError>
  /** Queues that have ready jobs. */
  readonly readyQueues: Effect.Effect<ReadonlyArray<string>, SqlError>
  /** Tells other processes, on this store's own connections, that these queues have ready jobs. */
  readonly announce: (queues: ReadonlyArray<string>) => Effect.Effect<void, SqlError>

  /** Drops what rebuilding left behind, and rebuilds at most one index that is invalid or mostly air. */
  readonly mendIndex: Effect.Effect<ReadonlyArray<MendedIndex>, SqlError>
}
