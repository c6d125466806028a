/**
 * What handles jobs: one handler per kind, each a layer that takes what the handler needs from where it is built.
 *
 * A worker runs the kinds whose handlers it is given, and leaves the jobs of others alone.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import type { SqlError } from "effect/sql/SqlError"
import type { Attempt, AttemptLost, Cancel, Snooze } from "./Attempt.ts"
import type { Any, Failure, Output, Payload } from "./Job.ts"

/** Provided by every handler: a worker without any is an error of types. */
export interface Handlers {
  readonly _: unique symbol
}

/** Provided by the handler of one kind. */
export interface Handles<Name extends string> {
  readonly _: unique symbol
  readonly name: Name
}

/** What a handler may fail with besides the kind's own failures. A database that fails is tried again. */
export type Signal = Snooze | Cancel | AttemptLost | SqlError

export type Handle<K extends Any, R> = (
  payload: Payload<K>,
  attempt: Attempt<Output<K>>
) => Effect.Effect<Output<K>, Failure<K> | Signal, R>

/** A handler with all it needs. */
export interface Handler {
  readonly kind: Any
  readonly handle: Handle<Any, Scope.Scope>
  /** What the handler was built with, over what there is where it runs. */
  readonly within: (context: Context.Context<never>) => Context.Context<never>
  /** To JSON, as the kind says. */
  readonly encodeOutput: (output: unknown) => Effect.Effect<unknown, Schema.SchemaError>
  readonly encodeFailure: (failure: unknown) => Effect.Effect<unknown, Schema.SchemaError>
  /** Whether an error is one the kind declares. */
  readonly isFailure: (error: unknown) => boolean
}

/** Two handlers of one name, or a kind without one. */
export class HandlerFault extends Schema.TaggedError<HandlerFault>()("HandlerFault", {
  kind: Schema.String,
  rule: Schema.String
}) {
  override get message() {
    return `The kind "${this.kind}" ${this.rule}`
  }
}

const prefix = "lanekeeper/Handlers/"

let made = 0

/** A key of its own for each handler, so that two of one kind are noticed and none hides the other. */
const tagOf = <Name extends string>(name: Name) => Context.Service<Handles<Name>, Handler>(`${prefix}${name}/${++made}`)

export type Needs<K extends Any, R> =
  | Exclude<R, Scope.Scope>
  | K["payload"]["DecodingServices"]
  | K["output"]["EncodingServices"]
  | K["failure"]["EncodingServices"]

export const layer = <K extends Any, R>(kind: K, handle: Handle<K, R>) => {
  const tag = tagOf(kind.name)
  return Layer.effectContext(
    Effect.map(Effect.context<Needs<K, R>>(), (context) => {
      const output: Schema.Codec<unknown> = kind.output
      const failure: Schema.Codec<unknown> = kind.failure
      const handler: Handler = {
        kind,
        handle: handle as never,
        within: over(context as Context.Context<never>),
        encodeOutput: output.ast._tag === "Void" ? () => Effect.undefined : encoder(output),
        encodeFailure: encoder(failure),
        isFailure: Schema.is(failure)
      }
      return Context.make(tag, handler) as Context.Context<Handlers | Handles<K["name"]>>
    })
  )
}

/** Attempts of a worker all start from one context: merging the two for each would cost more than the rest of it. */
const over = (own: Context.Context<never>) => {
  let last: readonly [from: Context.Context<never>, merged: Context.Context<never>] | undefined
  return (context: Context.Context<never>) => {
    if (last?.[0] !== context) last = [context, Context.merge(context, own)]
    return last[1]
  }
}

const encoder = (schema: Schema.Codec<unknown>) => Schema.encodeUnknownEffect(Schema.toCodecJson(schema))

/** The handlers that were provided here, by the names their jobs are stored under. */
export const provided: Effect.Effect<ReadonlyMap<string, Handler>, HandlerFault> = Effect.gen(function* () {
  const context = yield* Effect.context<never>()
  const byName = new Map<string, Handler>()
  for (const [key, service] of context.mapUnsafe) {
    if (!key.startsWith(prefix)) continue
    const handler = service as Handler
    for (const name of [handler.kind.name, ...handler.kind.aliases]) {
      if (byName.has(name)) {
        return yield* new HandlerFault({
          kind: name,
          rule: "has two handlers here, of its own or of a kind that has its name as an alias: provide one"
        })
      }
      byName.set(name, handler)
    }
  }
  return byName
})
