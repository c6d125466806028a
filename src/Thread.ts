/**
 * Runs jobs that compute, in threads of their own: heartbeats, claims and other jobs go on meanwhile, and a job that is
 * cancelled or runs out of time is ended although it never pauses.
 *
 * The module of a thread exports what it runs by default, made with `handler`; the app provides `layer` in the place of
 * `kind.handle(…)`.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import { availableParallelism } from "node:os"
import type { Attempt, Cancel, Snooze } from "./Attempt.ts"
import * as Pool from "./dispatch/ThreadPool.ts"
import * as Handlers from "./Handlers.ts"
import type { Any, Failure, Output, Payload } from "./Job.ts"

/** What a thread is told of the attempt it runs. The store is out of its reach. */
export type ThreadAttempt = Omit<Attempt, "complete" | "step" | "checkpointed" | "stopping">

export interface ThreadHandler<K extends Any = Any> {
  readonly kind: K
  readonly handle: (
    payload: Payload<K>,
    attempt: ThreadAttempt
  ) => Effect.Effect<Output<K>, Failure<K> | Snooze | Cancel, Scope.Scope>
}

/** What a thread's module exports by default. */
export const handler = <K extends Any>(kind: K, handle: ThreadHandler<K>["handle"]): ThreadHandler<K> => ({
  kind,
  handle
})

export interface ThreadOptions {
  /** How many run at once; more attempts wait for one to be free. Defaults to the processors but one. */
  readonly threads?: number | undefined
}

/** Handles jobs of a kind in threads that load this module. */
export const layer = <K extends Any>(kind: K, module: URL, options: ThreadOptions = {}) =>
  Layer.unwrap(
    Effect.map(Pool.make(module, options.threads ?? Math.max(1, availableParallelism() - 1)), (pool) => {
      const handle = Effect.fnUntraced(function* (payload: Payload<K>, attempt: Attempt<Output<K>>) {
        const given = yield* Effect.orDie(kind.encode(payload))
        return yield* Pool.decode(kind, yield* Pool.run(pool, given, attempt as Attempt))
      })
      return Handlers.layer<K, never>(kind, handle as Handlers.Handle<K, never>)
    })
  )
