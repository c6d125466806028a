/** Wakes one loop: at once, soon, or never twice for what was said while it ran. */
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import * as Option from "effect/Option"

export class Pulse {
  private readonly latch = Latch.makeUnsafe(false)

  /** Whatever was said before, and however often, is one beat. */
  beat(): void {
    this.latch.openUnsafe()
  }

  /** Waits for the next beat, at most so long. `false`: there was none. */
  wait(atMost: Duration.Duration): Effect.Effect<boolean> {
    return Effect.andThen(Effect.map(Effect.timeoutOption(this.latch.await, atMost), Option.isSome), (beaten) =>
      Effect.as(this.latch.close, beaten)
    )
  }
}
