/**
 * What happens to jobs in this process, as it happens, for whoever listens. Without the layer nobody pays for it.
 *
 * A listener that is slow holds the worker up when the buffer is full: nothing is left out. What others did, and what was
 * told of jobs when nobody listened, is in the store: see `Client.events`.
 */
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as PubSub from "effect/PubSub"
import * as Stream from "effect/Stream"
import type { Ending } from "./domain/Attempt.ts"
import type { JobId } from "./domain/Job.ts"
import type { Enqueued } from "./store/Store.ts"

interface OfJob {
  readonly id: JobId
  readonly kind: string
  readonly queue: string
}

export type JobEvent =
  /** Visible to others by now: the transaction has committed. */
  | (OfJob & { readonly _tag: "Enqueued"; readonly outcome: Enqueued["outcome"] })
  | (OfJob & { readonly _tag: "Started"; readonly attempt: number })
  /** The store has taken the ending. */
  | (OfJob & {
      readonly _tag: "Ended"
      readonly attempt: number
      readonly ending: Ending
      readonly ran: Duration.Duration
    })

export class JobEvents extends Context.Service<
  JobEvents,
  {
    /** From when it is run. */
    readonly stream: Stream.Stream<JobEvent>
    /** Waits while a listener's buffer is full. */
    readonly publish: (events: ReadonlyArray<JobEvent>) => Effect.Effect<void>
  }
>()("lanekeeper/JobEvents") {
  /** Shared by the client, the workers and the listeners it is provided to. `buffer` defaults to 1,024 events. */
  static readonly layer = (options: { readonly buffer?: number | undefined } = {}) =>
    Layer.effect(
      this,
      Effect.map(PubSub.bounded<JobEvent>(options.buffer ?? 1_024), (events) =>
        this.of({
          stream: Stream.fromPubSub(events),
          publish: (some) => Effect.asVoid(PubSub.publishAll(events, some))
        })
      )
    )
}

export type Publish = JobEvents["Service"]["publish"]

/** How to tell, where there is somebody to be told. */
export const publisher: Effect.Effect<Publish | undefined> = Effect.map(
  Effect.serviceOption(JobEvents),
  Option.match({ onNone: () => undefined, onSome: ({ publish }) => publish })
)
