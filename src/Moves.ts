/** The moves of one job, and of one queue, that are asked for from outside. Whoever has to act on one is woken. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { SqlError } from "effect/sql/SqlError"
import type { JobId, Place } from "./domain/Job.ts"
import { isPriority, isText, priorityRule, textRule } from "./EnqueueOptions.ts"
import { JobNotFound } from "./Result.ts"
import type { MoveResult, Store } from "./store/Store.ts"
import type { Wakeup } from "./Wakeup.ts"

const asked = {
  cancel: "cancelled: it is over",
  retry: "tried now: only a scheduled or a dead job can",
  reassign: "given another queue or priority: only a ready job can",
  setAside: "set aside: only a job that waits to run can",
  purge: "purged: only a dead job can"
} as const

/** The job stands where it cannot be moved from in this way. Nothing was changed. */
export class MoveRefused extends Schema.TaggedError<MoveRefused>()("MoveRefused", {
  id: Schema.String,
  move: Schema.Literals(["cancel", "retry", "reassign", "setAside", "purge"]),
  place: Schema.String
}) {
  override get message() {
    return `The job ${this.id} is ${this.place} and was not ${asked[this.move]}`
  }
}

/** Another job that was let in under the same unique key is not over: with this one there would be two. Nothing was changed. */
export class KeyTaken extends Schema.TaggedError<KeyTaken>()("KeyTaken", { id: Schema.String, holder: Schema.String }) {
  override get message() {
    return (
      `The job ${this.id} was not driven again: ${this.holder} has its unique key and is not over: ` +
      `cancel that one, or purge this one`
    )
  }
}

/** What a queue or a priority cannot be. */
export class InvalidTarget extends Schema.TaggedError<InvalidTarget>()("InvalidTarget", {
  option: Schema.String,
  rule: Schema.String
}) {
  override get message() {
    return `Nothing was changed: the ${this.option} ${this.rule}`
  }
}

export type MoveError = JobNotFound | MoveRefused | SqlError

export interface Moves {
  /**
   * A job that waits to run is cancelled. One that runs is interrupted by its worker, which is told at once:
   * `cancelling`.
   */
  readonly cancel: (id: JobId, reason?: string) => Effect.Effect<"cancelled" | "cancelling", MoveError>
  /**
   * A scheduled job becomes ready now. A dead one too, with its history and fresh counts of failures and crashes, unless
   * another has its unique key by now and is not over.
   */
  readonly retry: (id: JobId) => Effect.Effect<void, MoveError | KeyTaken>
  /** Gives a ready job another queue, another priority, or both. */
  readonly reassign: (
    id: JobId,
    to: { readonly queue?: string | undefined; readonly priority?: number | undefined }
  ) => Effect.Effect<void, MoveError | InvalidTarget>
  /** Puts a job that waits to run among the dead, with a reason. */
  readonly setAside: (id: JobId, reason: string) => Effect.Effect<void, MoveError>
  /** Deletes a dead job and its history. */
  readonly purge: (id: JobId) => Effect.Effect<void, MoveError>
  /** From now on no worker takes from it. What runs goes on. */
  readonly pauseQueue: (queue: string) => Effect.Effect<void, InvalidTarget | SqlError>
  readonly resumeQueue: (queue: string) => Effect.Effect<void, InvalidTarget | SqlError>
}

export const moves = (store: Store["Service"], wakeup: Wakeup["Service"]): Moves => {
  const settled = (id: JobId, move: MoveRefused["move"], { moved, place }: MoveResult) =>
    Effect.gen(function* () {
      if (moved) return
      if (Option.isNone(place)) return yield* new JobNotFound({ id })
      return yield* new MoveRefused({ id, move, place: place.value })
    })

  const wakeFor = Effect.fnUntraced(function* (id: JobId) {
    const view = yield* store.show(id)
    if (Option.isSome(view)) yield* store.afterCommit(wakeup.poke([view.value.queue]))
  })

  const named = (queue: string) =>
    isText(queue) ? Effect.void : Effect.fail(new InvalidTarget({ option: "queue", rule: textRule }))

  return {
    cancel: Effect.fn("Client.cancel")(function* (id, reason = "cancelled by request") {
      const result = yield* store.cancel(id, reason)
      if (!result.moved && Option.contains(result.place, "running")) {
        yield* store.afterCommit(wakeup.pokeBeat)
        return "cancelling"
      }
      yield* settled(id, "cancel", result)
      return "cancelled"
    }),
    retry: Effect.fn("Client.retry")(function* (id) {
      const driven = yield* store.redrive(id)
      if (driven.heldBy !== undefined) return yield* new KeyTaken({ id, holder: driven.heldBy })
      const scheduled = !driven.moved && Option.contains(driven.place, "scheduled" satisfies Place)
      yield* settled(id, "retry", scheduled ? yield* store.runNow(id) : driven)
      yield* wakeFor(id)
    }),
    reassign: Effect.fn("Client.reassign")(function* (id, to) {
      if (to.queue !== undefined) yield* named(to.queue)
      if (to.priority !== undefined && !isPriority(to.priority)) {
        return yield* new InvalidTarget({ option: "priority", rule: priorityRule })
      }
      yield* settled(id, "reassign", yield* store.reassign(id, to))
      yield* wakeFor(id)
    }),
    setAside: Effect.fn("Client.setAside")(function* (id, reason) {
      yield* settled(id, "setAside", yield* store.setAside(id, reason))
    }),
    purge: Effect.fn("Client.purge")(function* (id) {
      const moved = yield* store.purge(id)
      yield* settled(id, "purge", { moved, place: moved ? Option.none() : yield* store.place(id) })
    }),
    pauseQueue: Effect.fn("Client.pauseQueue")(function* (queue) {
      yield* named(queue)
      yield* store.pause(queue)
    }),
    resumeQueue: Effect.fn("Client.resumeQueue")(function* (queue) {
      yield* named(queue)
      yield* store.unpause(queue)
      yield* store.afterCommit(wakeup.poke([queue]))
    })
  }
}
