/**
 * Where events go that were written with the moves they tell of. Without a sink nobody is told: events can be read until
 * they have passed their retention.
 */
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type { Event } from "./domain/Event.ts"

export interface EventsOptions<R = never> {
  /**
   * Takes events to where they are wanted. It succeeds when all of them are there; an event can come again, with the same
   * `id`. Those that fail are tried again, after the others. It has half a minute.
   */
  readonly deliver: (events: ReadonlyArray<Event>) => Effect.Effect<unknown, unknown, R>
  /** How long events are kept for readers once they are delivered. Defaults to 24 hours. */
  readonly keep?: Duration.Input | undefined
  /** After how long events that somebody took and did not settle are taken again. Defaults to a minute. */
  readonly stuckAfter?: Duration.Input | undefined
}

export interface Sink {
  readonly deliver: Option.Option<(events: ReadonlyArray<Event>) => Effect.Effect<unknown, unknown>>
  readonly keep: Duration.Duration
  readonly stuckAfter: Duration.Duration
}

export const Sink = Context.Reference<Sink>("lanekeeper/Events/Sink", {
  defaultValue: () => ({
    deliver: Option.none(),
    keep: Duration.hours(24),
    stuckAfter: Duration.minutes(1) // longer than a run may last
  })
})

/** Gives a process somewhere to deliver events to. It does so whether it leads or not. */
export const layerSink = <R = never>(options: EventsOptions<R>): Layer.Layer<never, never, R> =>
  Layer.effect(
    Sink,
    Effect.map(Effect.context<R>(), (context): Sink => ({
      deliver: Option.some((events) => Effect.provideContext(options.deliver(events), context)),
      keep: Duration.fromInputUnsafe(options.keep ?? "24 hours"),
      stuckAfter: Duration.fromInputUnsafe(options.stuckAfter ?? "1 minute")
    }))
  )
