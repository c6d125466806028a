/**
 * What a handler is told of the attempt it runs, and what it can do with the job besides completing it.
 *
 * An attempt can be snoozed or cancelled from inside by failing with `Snooze` or `Cancel`: a handler that does is over.
 */
import type * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { SqlError } from "effect/sql/SqlError"
import type { JobId } from "./domain/Job.ts"

export interface Attempt<in Output = never> {
  readonly id: JobId
  readonly kind: string
  readonly queue: string
  readonly priority: number
  /** 1 for the first. It grows with every run of the job, whatever became of the last one. */
  readonly attempt: number
  readonly failures: number
  /** How many attempts vanished with their worker. */
  readonly crashes: number
  readonly enqueuedAt: DateTime.Utc
  readonly key: string | undefined
  readonly tags: ReadonlyArray<string>
  readonly metadata: Readonly<Record<string, unknown>>
  /** Done when the worker was told to stop: finish soon, or be interrupted and run again elsewhere. */
  readonly stopping: Effect.Effect<void>
  /**
   * Completes the job in the transaction that is open, so that what the handler writes and the job's end are committed
   * together or not at all. Fails when the job is no longer this attempt's: fail the transaction, and nothing happened.
   */
  readonly complete: (output: Output) => Effect.Effect<void, AttemptLost | SqlError>
  /**
   * Runs an effect once for all attempts of the job: where an earlier attempt has succeeded with it, its result is read
   * from storage. Inside a transaction the result is committed with what the effect writes, so that both happen exactly
   * once; outside, an attempt that vanishes between the two runs it again. Names are unique in a handler.
   */
  readonly step: {
    <A, E, R>(
      name: string,
      result: Schema.Codec<A, any>,
      effect: Effect.Effect<A, E, R>
    ): Effect.Effect<A, E | AttemptLost | SqlError, R>
    <E, R>(name: string, effect: Effect.Effect<void, E, R>): Effect.Effect<void, E | AttemptLost | SqlError, R>
  }
  /** Says how far the job is, from 0 to 100. It can be called as often as you like: it is written once a second. */
  readonly progress: (percent: number, message?: string) => Effect.Effect<void>
  /** Leaves something for the next attempt to go on from, as JSON, written like the progress. */
  readonly checkpoint: (value: unknown) => Effect.Effect<void>
  /** What was left last. `None`: nothing, or in a shape that does not fit. */
  readonly checkpointed: <A>(schema: Schema.Codec<A, any>) => Effect.Effect<Option.Option<A>, SqlError>
}

/** Ends the attempt, not the job: it runs again later, and nothing is counted. */
export class Snooze extends Schema.TaggedError<Snooze>()("lanekeeper/Snooze", { for: Schema.Duration }) {}

/** Ends the attempt and the job. */
export class Cancel extends Schema.TaggedError<Cancel>()("lanekeeper/Cancel", { reason: Schema.String }) {}

/** The job is no longer this attempt's: it was rescued, cancelled or ended before. */
export class AttemptLost extends Schema.TaggedError<AttemptLost>()("AttemptLost", {
  id: Schema.String,
  attempt: Schema.Int
}) {
  override get message() {
    return `The attempt ${this.attempt} of the job ${this.id} is over for others: undo what it did and let it end`
  }
}

export const snooze = (duration: Duration.Input): Effect.Effect<never, Snooze> =>
  Effect.fail(new Snooze({ for: Duration.fromInputUnsafe(duration) }))

export const cancel = (reason: string): Effect.Effect<never, Cancel> => Effect.fail(new Cancel({ reason }))
