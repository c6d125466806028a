import * as Effect from "effect/Effect"
import * as References from "effect/References"

/** Runs a test in a scope of its own, without the log lines that belong to what it does. */
export const quietly = <A, E, R>(body: Effect.Effect<A, E, R>) =>
  body.pipe(Effect.scoped, Effect.provideService(References.MinimumLogLevel, "None"))
