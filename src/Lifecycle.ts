/**
 * Starts and stops one thing that runs, however many ask at once: one start, one set of fibers, one stop.
 *
 * `begin` is what must succeed before it runs, and is retried; `run` is what then goes on until it is told to stop.
 * The scope that made it owns it: closing the scope is `shutdown`. Letting go of the handle stops nothing.
 */
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Schema from "effect/Schema"

/** It is stopping, and can be started when it has stopped. */
export class TransitionInProgress extends Schema.TaggedError<TransitionInProgress>()("TransitionInProgress", {}) {
  override get message() {
    return "It is stopping: start it again when `shutdown` has returned"
  }
}

export interface LifecycleOptions {
  /** How often a ready start tries before it gives up. Defaults to 5. */
  readonly attempts?: number | undefined
  /** How long it waits before it tries again, doubled each time up to 30 seconds. Defaults to 500 milliseconds. */
  readonly retryAfter?: Duration.Input | undefined
  /** Holds back everything, once. Defaults to nothing. */
  readonly startDelay?: Duration.Input | undefined
}

export type Phase = "stopped" | "starting" | "running" | "stopping"

export interface Lifecycle<A, E> {
  /** Starts, and returns when it runs. When it cannot begin, nothing is left running. */
  readonly ready: Effect.Effect<A, E | TransitionInProgress>
  /** Starts, and returns at once. Tries to begin for ever. */
  readonly background: Effect.Effect<void, TransitionInProgress>
  /** Lets it finish what it is at, and returns when every fiber has ended. */
  readonly shutdown: Effect.Effect<void>
  /** Interrupts it, and returns when every fiber has ended. */
  readonly abort: Effect.Effect<void>
  readonly phase: Effect.Effect<Phase>
}

interface Run<A, E> {
  phase: Exclude<Phase, "stopped">
  /** A ready start gives up after some attempts, unless somebody started in the background as well. */
  forEver: boolean
  readonly begun: Deferred.Deferred<A, E | TransitionInProgress>
  readonly stopping: Deferred.Deferred<void>
  failed: Exit.Exit<A, E> | undefined
  fiber: Fiber.Fiber<void> | undefined
}

const longestRetry = Duration.seconds(30)

export const make = Effect.fnUntraced(function* <A, E extends { readonly message: string }, R>(
  begin: Effect.Effect<A, E, R>,
  run: (stopping: Deferred.Deferred<void>) => Effect.Effect<void, never, R>,
  options: LifecycleOptions = {}
) {
  const context = yield* Effect.context<R>()
  const retryAfter = Duration.fromInputUnsafe(options.retryAfter ?? "500 millis")
  let startDelay = Duration.fromInputUnsafe(options.startDelay ?? Duration.zero)
  let current: Run<A, E> | undefined

  const beginning = (own: Run<A, E>, attempt = 1): Effect.Effect<A, E, R> =>
    begin.pipe(
      Effect.catch((error) =>
        Effect.gen(function* () {
          const attempts = own.forEver ? undefined : (options.attempts ?? 5)
          yield* Effect.logWarning("Could not start", {
            reason: error.message,
            attempt,
            attempts: attempts ?? "no end"
          })
          if (attempts !== undefined && attempt >= attempts) return yield* Effect.fail(error)
          yield* Effect.sleep(Duration.min(Duration.times(retryAfter, 2 ** Math.min(attempt - 1, 10)), longestRetry))
          return yield* beginning(own, attempt + 1)
        })
      )
    )

  const whole = (own: Run<A, E>) =>
    Effect.gen(function* () {
      const delay = startDelay
      startDelay = Duration.zero
      yield* Effect.sleep(delay)
      const begun = yield* Effect.exit(beginning(own))
      if (Exit.isFailure(begun)) return void (own.failed = begun)
      own.phase = "running"
      // It runs before anybody is told that it does.
      yield* Effect.all([run(own.stopping), Deferred.done(own.begun, begun)], { concurrency: 2 })
    }).pipe(
      Effect.tapCause((cause) =>
        Cause.hasInterruptsOnly(cause) ? Effect.void : Effect.logError("It ended by itself", cause)
      ),
      Effect.ensuring(
        Effect.suspend(() => {
          current = undefined
          return Deferred.done(own.begun, own.failed ?? Exit.fail(new TransitionInProgress()))
        })
      ),
      Effect.asVoid,
      Effect.provideContext(context)
    )

  const start = (forEver: boolean) =>
    Effect.suspend(() => {
      if (current?.phase === "stopping") return Effect.fail(new TransitionInProgress())
      if (current !== undefined) {
        current.forEver ||= forEver
        return Effect.succeed(current)
      }
      const own: Run<A, E> = (current = {
        phase: "starting",
        forEver,
        begun: Deferred.makeUnsafe(),
        stopping: Deferred.makeUnsafe(),
        failed: undefined,
        fiber: undefined
      })
      // Detached, because whoever starts it does not own it: the finalizer below ends and joins it.
      return Effect.map(Effect.forkDetach(whole(own)), (fiber) => {
        own.fiber = fiber
        return own
      })
    })

  const stop = (how: (own: Run<A, E>, fiber: Fiber.Fiber<void>) => Effect.Effect<unknown>): Effect.Effect<void> =>
    Effect.suspend(() => {
      const own = current
      if (own === undefined) return Effect.void
      const { fiber } = own
      if (fiber === undefined) return Effect.andThen(Effect.yieldNow, stop(how)) // it is being forked right now
      const before = own.phase
      own.phase = "stopping"
      return Effect.gen(function* () {
        // What has not begun has nothing to finish.
        yield* before === "starting" ? Fiber.interrupt(fiber) : how(own, fiber)
        const exit = yield* Fiber.await(fiber)
        if (Exit.isFailure(exit) && !Cause.hasInterruptsOnly(exit.cause)) return yield* Effect.failCause(exit.cause)
      })
    })

  const shutdown = stop((own) => Deferred.succeed(own.stopping, undefined))
  yield* Effect.addFinalizer(() => shutdown)

  return {
    ready: Effect.uninterruptibleMask((restore) =>
      Effect.flatMap(start(false), ({ begun }) => restore(Deferred.await(begun)))
    ),
    background: Effect.uninterruptible(Effect.asVoid(start(true))),
    shutdown,
    abort: stop((_, fiber) => Fiber.interrupt(fiber)),
    phase: Effect.sync(() => current?.phase ?? "stopped")
  } satisfies Lifecycle<A, E>
})
