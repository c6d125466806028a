/** Names what attempts leave for the ones after them, and for whoever looks at the job. */
import type * as DateTime from "effect/DateTime"

export interface Note {
  readonly name: NoteName
  /** The attempt that left it. */
  readonly attempt: number
  /** By the store's clock. */
  readonly at: DateTime.Utc
  readonly value: unknown
}

/** The result of a step; how far the job is; where to go on from; the log of one attempt. */
export type NoteName = `step:${string}` | "progress" | "checkpoint" | `log:${number}`

export interface Progress {
  /** From 0 to 100. */
  readonly percent: number
  readonly message?: string
}

export interface LogLine {
  /** ISO 8601, by the worker's clock. */
  readonly at: string
  readonly level: string
  readonly message: string
}
