/** Why a job was not enqueued. Nothing is stored then. */
import * as Schema from "effect/Schema"
import type { SqlError } from "effect/sql/SqlError"

/** The payload is not what the kind's Schema says, or holds what cannot be stored. */
export class InvalidPayload extends Schema.TaggedError<InvalidPayload>()("InvalidPayload", {
  kind: Schema.String,
  /** Where the fault is, from the payload's top. */
  path: Schema.Array(Schema.Union([Schema.String, Schema.Int])),
  reason: Schema.String
}) {
  override get message() {
    const where = this.path.length === 0 ? "the payload" : this.path.join(".")
    return `A job of kind ${this.kind} was not enqueued: ${where}: ${this.reason}`
  }
}

/** The payload is larger than the kind allows. */
export class PayloadTooLarge extends Schema.TaggedError<PayloadTooLarge>()("PayloadTooLarge", {
  kind: Schema.String,
  bytes: Schema.Int,
  limit: Schema.Int
}) {
  override get message() {
    return (
      `A job of kind ${this.kind} was not enqueued: its payload has ${this.bytes} bytes and ${this.limit} are allowed: ` +
      `store what is large elsewhere and enqueue where it is`
    )
  }
}

/** An option is unknown, or its value breaks a rule. */
export class InvalidOption extends Schema.TaggedError<InvalidOption>()("InvalidOption", {
  kind: Schema.String,
  option: Schema.String,
  rule: Schema.String
}) {
  override get message() {
    return `A job of kind ${this.kind} was not enqueued: ${this.option} ${this.rule}`
  }
}

export type EnqueueError = InvalidPayload | PayloadTooLarge | InvalidOption | SqlError
