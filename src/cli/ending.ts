/**
 * Says how a command ended: a failure is one sentence on stderr, a defect its whole cause, and the exit code follows.
 *
 * 0 done, 1 failed (wrong usage too), 78 the configuration is at fault, 130 or 143 ended by SIGINT or SIGTERM. A role that
 * serves has done its part when it is told to stop: 0.
 */
import * as Cause from "effect/Cause"
import * as CliError from "effect/cli/CliError"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Logger from "effect/Logger"
import * as Option from "effect/Option"
import * as Runtime from "effect/Runtime"
import { isSqlError } from "effect/sql/SqlError"
import { rootMessage } from "../store/postgres/DatabaseError.ts"

export const report = (cause: Cause.Cause<unknown>) =>
  Effect.sync(() => {
    if (Cause.hasInterruptsOnly(cause)) return
    const error = Option.getOrUndefined(Cause.findErrorOption(cause))
    if (CliError.isCliError(error)) return // the command line has shown it, with its help
    process.stderr.write(`${error instanceof Error ? sentence(error) : Cause.pretty(cause)}\n`)
  })

/** What nobody foresaw of the database, in its own words. */
const sentence = (error: Error) => {
  if (!isSqlError(error)) return error.message
  if (error.reason._tag !== "AuthorizationError") return `The database could not do it (${rootMessage(error)})`
  return (
    `The database refused (${rootMessage(error)}): use a login that may, such as a member of lanekeeper_operator ` +
    "(`lanekeeper migrate --roles` makes the group roles)"
  )
}

let ended: "SIGTERM" | undefined
process.once("SIGTERM", () => (ended = "SIGTERM"))

let serves = false

/** Runs a role until it is told to stop. */
export const serving = <A, E, R>(role: Effect.Effect<A, E, R>) =>
  Effect.andThen(
    Effect.sync(() => (serves = true)),
    Effect.provideService(role, Logger.LogToStderr, false)
  )

/**
 * A process that `dev` or an older Node started stops in its own time when that one is gone, however it ended: the channel
 * between them tells.
 */
export const endWithOwner = () => {
  if (process.env["LANEKEEPER_OWNED"] === undefined || process.channel === undefined) return
  process.once("disconnect", () => process.kill(process.pid, "SIGTERM"))
  process.channel.unref() // it is no reason to go on
  for (const stream of [process.stdout, process.stderr]) stream.on("error", () => undefined) // nobody reads any more
}

const echo = 500 // milliseconds: npm sends on the Ctrl-C that the terminal has sent already

/** Runs an effect when somebody tells the process a second time to stop. */
export const onSecondSignal = (effect: Effect.Effect<void>) =>
  Effect.gen(function* () {
    const clock = yield* Clock.Clock
    const fork = Effect.runForkWith(yield* Effect.context<never>())
    let firstAt: number | undefined
    const listener = () => {
      const now = clock.currentTimeMillisUnsafe()
      firstAt ??= now
      if (now - firstAt >= echo) fork(effect)
    }
    // For as long as the process lives: it is while everything is being closed that it matters.
    process.on("SIGINT", listener)
    process.on("SIGTERM", listener)
  })

export const teardown: Runtime.Teardown = (exit, onExit) =>
  Runtime.defaultTeardown(exit, (code) => {
    const interrupted = Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause)
    onExit(!interrupted ? code : serves ? 0 : ended === "SIGTERM" ? 143 : code)
  })
