/**
 * Wraps what an app enqueues and what its handlers do: for context that travels with every job, for measuring, for tests.
 *
 * Each layer adds one around those it is provided to; the one that is provided last is the innermost.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { Attempt } from "./Attempt.ts"
import type { EnqueueOptions } from "./EnqueueOptions.ts"
import type { Any } from "./Job.ts"

export interface Middleware {
  /** Changes what is asked for with a job, such as to add to its metadata. It is checked like what a caller says. */
  readonly options?: ((options: EnqueueOptions, kind: Any) => EnqueueOptions) | undefined
  /** Around each call that enqueues, however many jobs. */
  readonly enqueue?: (<A, E, R>(enqueue: Effect.Effect<A, E, R>, kind: Any) => Effect.Effect<A, E, R>) | undefined
  /** Around each handler, within the attempt's timeout. */
  readonly attempt?:
    | (<A, E, R>(handler: Effect.Effect<A, E, R>, attempt: Attempt) => Effect.Effect<A, E, R>)
    | undefined
}

const All = Context.Reference<ReadonlyArray<Middleware>>("lanekeeper/Middleware", { defaultValue: () => [] })

export const layer = (middleware: Middleware): Layer.Layer<never> =>
  Layer.effect(
    All,
    Effect.map(All, (others) => [...others, middleware])
  )

/** All that was provided, as one. */
export type Whole = { readonly [Part in keyof Middleware]-?: NonNullable<Middleware[Part]> }

/** What was provided here. */
export const provided: Effect.Effect<Whole> = Effect.map(All, (all) => ({
  options: (options, kind) => all.reduce((asked, { options }) => options?.(asked, kind) ?? asked, options),
  enqueue: (enqueue, kind) => all.reduceRight((inner, { enqueue }) => enqueue?.(inner, kind) ?? inner, enqueue),
  attempt: (handler, attempt) => all.reduceRight((inner, one) => one.attempt?.(inner, attempt) ?? inner, handler)
}))
