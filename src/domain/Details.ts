import type { FollowUps } from "./Event.ts"

/** What travels with a job beside its payload. The store carries it and reads little of it. */
export interface Details {
  /** The version of the kind that encoded the payload. 1 is not written. */
  readonly version?: number
  readonly maxAttempts?: number
  readonly timeoutMs?: number
  /** ISO 8601. A job not started by then is not worth starting. */
  readonly expiresAt?: string
  /** What the job is about. */
  readonly key?: string
  readonly tags?: ReadonlyArray<string>
  readonly metadata?: Readonly<Record<string, unknown>>
  readonly trace?: Trace
  /** What is enqueued, in the same transaction, when the job is rescued or dies. The store reads it then. */
  readonly followUps?: FollowUps
  /** `false`: when the job has completed or was cancelled, nothing of it is kept. The store reads it then. */
  readonly keep?: false
  /** The key that let it in. The store writes it, and reads it when the job is driven again. */
  readonly unique?: string
}

/** The span that enqueued. */
export interface Trace {
  readonly traceId: string
  readonly spanId: string
  readonly sampled: boolean
}
