/** What a worker notices of its own process. */
import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/testing/TestClock"
import { watchEventLoop } from "../../src/dispatch/watching.ts"
import { Lines } from "../lanes/world.ts"

/** Timers that come that much too late, as they do when a handler computes without pause. */
const late =
  (by: Duration.Input) =>
  <A, E, R>(effect: Effect.Effect<A, E, R>) =>
    Effect.flatMap(Clock.Clock, (clock) =>
      Effect.provideService(effect, Clock.Clock, {
        ...clock,
        sleep: (duration) => clock.sleep(Duration.sum(duration, Duration.fromInputUnsafe(by)))
      })
    )

const watched = (by: Duration.Input) =>
  Effect.gen(function* () {
    const lines = new Lines()
    const fiber = yield* Effect.forkChild(watchEventLoop(() => []).pipe(late(by), Effect.provide(lines.layer)))
    yield* TestClock.adjust("5 seconds")
    yield* Fiber.interrupt(fiber)
    return lines.lines
  })

describe("A worker that watches its event loop", () => {
  it.effect("says that a handler blocked it, and nothing of small delays [LK-F7]", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* watched("200 millis"), [])
      const [line] = yield* watched("3 seconds")
      assert.include(line, "The event loop was blocked")
    })
  )
})
