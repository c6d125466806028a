/** What a handler is given. One is made for every job, and most look at none of it: what costs is made when asked for. */
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import type { Attempt } from "../Attempt.ts"
import type { Details } from "../domain/Details.ts"
import type { Handler } from "../Handlers.ts"
import type { Claimed } from "../store/Store.ts"
import { tooLarge } from "./endings.ts"
import { remembering, type Remembering } from "./remembering.ts"
import type { Reach } from "./runAttempt.ts"

export class AttemptOf implements Attempt<unknown> {
  readonly id
  readonly kind
  readonly queue
  readonly priority
  readonly attempt
  readonly failures
  readonly crashes
  readonly key
  readonly tags
  readonly metadata
  readonly stopping
  readonly #handler: Handler
  readonly #claimed: Claimed
  readonly #reach: Reach
  #remembering: Remembering | undefined

  constructor(handler: Handler, claimed: Claimed, details: Details, reach: Reach) {
    this.id = claimed.id
    this.kind = claimed.kind
    this.queue = claimed.queue
    this.priority = claimed.priority
    this.attempt = claimed.attempt
    this.failures = claimed.failures
    this.crashes = claimed.crashes
    this.key = details.key
    this.tags = details.tags ?? []
    this.metadata = details.metadata ?? {}
    this.stopping = reach.stopping
    this.#handler = handler
    this.#claimed = claimed
    this.#reach = reach
  }

  get enqueuedAt() {
    return DateTime.makeUnsafe(this.#claimed.enqueuedAt)
  }

  get complete(): Attempt<unknown>["complete"] {
    return (output: unknown) =>
      Effect.flatMap(Effect.orDie(this.#handler.encodeOutput(output)), (encoded) => {
        const reason = tooLarge(this.#handler.kind, encoded)
        return reason === undefined ? this.#reach.complete(encoded) : Effect.die(new RangeError(reason))
      })
  }

  get step() {
    return this.#remember.step
  }

  get progress() {
    return this.#remember.progress
  }

  get checkpoint() {
    return this.#remember.checkpoint
  }

  get checkpointed() {
    return this.#remember.checkpointed
  }

  get #remember() {
    return (this.#remembering ??= remembering(this.#claimed, this.#reach.memory))
  }
}
