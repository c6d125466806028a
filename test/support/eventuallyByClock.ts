import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"

/** Moves the clock in small steps until it holds. */
export const eventuallyByClock = <A, E, R>(look: Effect.Effect<A, E, R>, holds: (value: A) => boolean) =>
  Effect.gen(function* () {
    for (let waited = 0; waited <= 20_000; waited += 50) {
      if (holds(yield* look)) return
      yield* TestClock.adjust("50 millis")
    }
    assert.fail("it never held")
  })
