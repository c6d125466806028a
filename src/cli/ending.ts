/**
 * Says how a command ended: a failure is one sentence on stderr, a defect its whole cause, and the exit code follows.
 *
 * 0 done, 1 failed (wrong usage too), 78 the configuration is at fault, 130 or 143 ended by SIGINT or SIGTERM. A role that
 * serves has done its part when it is told to stop: 0.
 */
import * as Cause from "effect/Cause"
import * as CliError from "effect/cli/CliError"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Runtime from "effect/Runtime"

export const report = (cause: Cause.Cause<unknown>) =>
  Effect.sync(() => {
    if (Cause.hasInterruptsOnly(cause)) return
    const error = Option.getOrUndefined(Cause.findErrorOption(cause))
    if (CliError.isCliError(error)) return // the command line has shown it, with its help
    process.stderr.write(`${error instanceof Error ? error.message : Cause.pretty(cause)}\n`)
  })

let ended: "SIGTERM" | undefined
process.once("SIGTERM", () => (ended = "SIGTERM"))

let serves = false

/** Runs a role until it is told to stop. */
export const serving = <A, E, R>(role: Effect.Effect<A, E, R>) =>
  Effect.andThen(
    Effect.sync(() => (serves = true)),
    role
  )

export const teardown: Runtime.Teardown = (exit, onExit) =>
  Runtime.defaultTeardown(exit, (code) => {
    const interrupted = Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause)
    onExit(!interrupted ? code : serves ? 0 : ended === "SIGTERM" ? 143 : code)
  })
