import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"

/** Looks again and again until it holds: for what other processes and the server do in their own time. */
export const eventually = <A, E, R>(look: Effect.Effect<A, E, R>, holds: (value: A) => boolean) =>
  look.pipe(
    Effect.repeat({ schedule: Schedule.spaced("10 millis"), until: holds }),
    Effect.timeout("20 seconds"),
    Effect.orDie
  )
