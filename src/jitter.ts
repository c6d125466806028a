/** Keeps processes that began together from acting together. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"

/** The duration, give or take a tenth. */
export const jittered = (duration: Duration.Duration): Effect.Effect<Duration.Duration> =>
  Effect.map(Random.nextBetween(0.9, 1.1), (factor) => Duration.times(duration, factor))
