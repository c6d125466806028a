/** Tells what came of a job that is over. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { JobId } from "./domain/Job.ts"
import type { Any, Output } from "./Job.ts"
import type { JobView } from "./store/Store.ts"

/** There is no such job, or it has passed its retention. */
export class JobNotFound extends Schema.TaggedError<JobNotFound>()("JobNotFound", { id: Schema.String }) {
  override get message() {
    return `There is no job ${this.id}: it may have passed its retention`
  }
}

/** It was cancelled before it completed. */
export class JobCancelled extends Schema.TaggedError<JobCancelled>()("JobCancelled", {
  id: Schema.String,
  reason: Schema.String
}) {
  override get message() {
    return `The job ${this.id} was cancelled: ${this.reason}`
  }
}

/** It is among the dead letters. `error` is what its last attempt failed with, as it was stored. */
export class JobDied extends Schema.TaggedError<JobDied>()("JobDied", {
  id: Schema.String,
  reason: Schema.String,
  error: Schema.Unknown
}) {
  override get message() {
    return `The job ${this.id} died: ${this.reason}`
  }
}

/** Its output is not what the kind says: the kind has changed since. */
export class OutputUnreadable extends Schema.TaggedError<OutputUnreadable>()("OutputUnreadable", {
  id: Schema.String,
  cause: Schema.Defect()
}) {
  override get message() {
    return `The output of the job ${this.id} does not decode by its kind's Schema: read it as it is with \`get\``
  }
}

export type NotCompleted = JobNotFound | JobCancelled | JobDied | OutputUnreadable

export const of = <K extends Any>(
  kind: K,
  id: JobId,
  found: Option.Option<JobView>
): Effect.Effect<Output<K>, NotCompleted, K["output"]["DecodingServices"]> => {
  if (Option.isNone(found)) return Effect.fail(new JobNotFound({ id }))
  const { history, place } = found.value
  const last = history.at(-1)
  const reason = last?.reason ?? "no reason was given"
  if (place === "cancelled") return Effect.fail(new JobCancelled({ id, reason }))
  if (place === "dead") return Effect.fail(new JobDied({ id, reason, error: last?.error ?? null }))
  const codec: Schema.Top = Schema.toCodecJson(kind.output)
  return Effect.mapError(
    Schema.decodeEffect(codec)(last?.output ?? null),
    (cause) => new OutputUnreadable({ id, cause })
  ) as never
}
