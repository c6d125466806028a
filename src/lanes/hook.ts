/** Runs an Effect of the application's own now and then. What becomes of it is logged and counted, and goes no further. */
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import { type Batch, type Lane, SuppliedFailed } from "./Lane.ts"
import { reasonOf } from "../texts.ts"

const nothing: Batch = { rows: {}, full: false }

/** On a fiber of its own: one that interrupts itself must not end the lane. */
export const running = (hook: Effect.Effect<unknown, unknown>): Lane["body"] =>
  Effect.fnUntraced(function* () {
    const fiber = yield* Effect.forkChild(Effect.suspend(() => hook))
    const exit = yield* Effect.onInterrupt(Fiber.await(fiber), () => Fiber.interrupt(fiber))
    if (Exit.isSuccess(exit)) return nothing
    const reason = Cause.hasInterruptsOnly(exit.cause) ? "it was interrupted" : reasonOf(exit.cause)
    return yield* new SuppliedFailed({ what: "The hook", reason })
  })

/** Without one it does nothing. Like every lane it is given up after 30 seconds. */
export const hook: Lane = {
  name: "hook",
  class: "hygiene",
  interval: Duration.minutes(1),
  batch: 1,
  budget: Duration.seconds(30),
  body: () => Effect.succeed(nothing)
}
