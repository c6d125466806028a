/** Names what is told of jobs, in rows written with the move that did it. */
import type * as Brand from "effect/Brand"
import type * as DateTime from "effect/DateTime"
import type { JobId } from "./Job.ts"

/** The idempotency key of an event: the same in every delivery of it. */
export type EventId = bigint & Brand.Brand<"lanekeeper/EventId">

export interface Event {
  readonly id: EventId
  /** Grows as events become visible, without gaps: who has read up to one has missed none before it. */
  readonly position: bigint
  /** By the store's clock. */
  readonly at: DateTime.Utc
  readonly type: EventType
  readonly job: JobId
  readonly kind: string
  readonly queue: string
  /** The number the job had used last. */
  readonly attempt: number
  readonly details: Readonly<Record<string, unknown>>
}

/**
 * `rescued`: `worker` and its `name`, for how long it had been silent (`silentMs`, null when nobody knows it any more),
 * how many `rescues` of the job that makes, and the `place` it went to. `died`: the `reason`, `failures`, `rescues`. The
 * end of an attempt: `ranMs`, and its `error` or `reason` where it has one.
 */
export type EventType = Always | "completed" | "failed" | "snoozed" | "parked" | "released" | "cancelled"

/** Told of every job. The others are ends of attempts, told of kinds that ask for it. */
type Always = "rescued" | "died"

/** A job to enqueue when another is rescued or dies. It is stored with that one, so that it needs no code by then. */
export interface FollowUp {
  readonly kind: string
  readonly queue: string
  readonly priority: number
  readonly deadlineMs?: number
  readonly details?: Readonly<Record<string, unknown>>
}

export type FollowUps = { readonly [Type in Always]?: FollowUp }
