/** Describes how an attempt can end and what follows from it. An attempt ends once. */
import type * as Duration from "effect/Duration"

/** What a worker may say of an attempt. Who says it, and whether it is still theirs to say, is the fence's matter. */
export type Ending =
  /** running → completed */
  | { readonly _tag: "Completed"; readonly output?: unknown }
  /** running → scheduled, and a failure is counted. */
  | { readonly _tag: "Failed"; readonly error: unknown; readonly retryIn: Duration.Duration }
  /** running → scheduled, and nothing is counted. */
  | { readonly _tag: "Snoozed"; readonly for: Duration.Duration }
  /** running → waiting */
  | {
      readonly _tag: "Parked"
      readonly token: string
      readonly expiresIn: Duration.Duration
      readonly onExpiry: Expiry
    }
  /** running → ready, and nothing is counted: the worker gives back what it did not finish. */
  | { readonly _tag: "Released" }
  /** running → dead, and a failure is counted. */
  | { readonly _tag: "Died"; readonly error?: unknown; readonly reason: string }
  /** running → cancelled */
  | { readonly _tag: "Cancelled"; readonly reason: string }

/** What becomes of a wait that nobody ended in time. */
export type Expiry = "retry" | "die" | "cancel"

/** How a line of a job's history ended. The last ones, from rescued on, are not said by a worker. */
export type EndState =
  | "completed"
  | "failed"
  | "snoozed"
  | "parked"
  | "released"
  | "died"
  | "cancelled"
  /** Its worker vanished, or it ran past its hard deadline. */
  | "rescued"
  /** A wait ended from outside: no attempt, but the value that came belongs to the history. */
  | "resumed"
  /** A wait that nobody ended in time. */
  | "expired"
  /** Ended from outside before an attempt began. */
  | "set aside"
  /** Nothing said any more where the job stood, and it was made ready. */
  | "repaired"

/** Whether the store took an ending: from the lease that runs the attempt, again from the same, or not at all. */
export type Acceptance = "accepted" | "repeated" | "refused"
