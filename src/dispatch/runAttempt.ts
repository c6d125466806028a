/**
 * Runs one attempt and says how it ended. It fails with nothing: whatever a handler does is one of the endings, unless
 * its worker interrupts it, who then knows why.
 */
import * as Context from "effect/Context"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { identity } from "effect/Function"
import * as Option from "effect/Option"
import * as References from "effect/References"
import * as Schema from "effect/Schema"
import * as Tracer from "effect/Tracer"
import type { Attempt } from "../Attempt.ts"
import type { Ending } from "../domain/Attempt.ts"
import type { Details } from "../domain/Details.ts"
import type { Handler } from "../Handlers.ts"
import type { Whole } from "../Middleware.ts"
import type { Claimed } from "../store/Store.ts"
import { messageOf } from "../texts.ts"
import { AttemptOf } from "./AttemptOf.ts"
import { AttemptTimeout, completed, endingOf, undecodable } from "./endings.ts"
import { keepingLogs, type Memory } from "./remembering.ts"

/** What an attempt can do beyond its own fiber. */
export interface Reach {
  readonly stopping: Effect.Effect<void>
  /** Ends the attempt in the transaction that is open. */
  readonly complete: (output: unknown) => ReturnType<Attempt["complete"]>
  readonly memory: Memory
  /** What is wrapped around each handler. */
  readonly around: Whole["attempt"]
}

export const runAttempt = (handler: Handler, claimed: Claimed, reach: Reach): Effect.Effect<Ending> => {
  const { kind } = handler
  const details = (claimed.details ?? {}) as Details
  const expiry = details.expiresAt === undefined ? undefined : Date.parse(details.expiresAt)
  if (expiry !== undefined && claimed.attempt === 1 && expiry <= DateTime.toEpochMillis(claimed.claimedAt)) {
    return Effect.succeed({ _tag: "Cancelled", reason: "it expired before it started" })
  }

  const attempt = new AttemptOf(handler, claimed, details, reach)

  // What decodes is the app's: its upgrade and its Schema may throw.
  const run = Effect.suspend(() => kind.decode(claimed.payload, details)).pipe(
    Effect.matchCauseEffect({
      onFailure: (cause) => Effect.succeed(undecodable(cause)),
      onSuccess: (payload) =>
        Effect.suspend(() => {
          const effect = handled(handler, handler.handle(payload as never, attempt as never))
          return reach.around(effect, attempt)
        }).pipe(
          limited(kind.defaults.timeout, details, claimed),
          Effect.scoped,
          Effect.flatMap(handler.encodeOutput),
          Effect.map((output) => completed(kind, output)),
          Effect.catchCause((cause) => endingOf(handler, claimed, cause))
        )
    }),
    kind.keepLogs === 0 ? identity : keepingLogs(kind.keepLogs, claimed.attempt, reach.memory)
  ) as Effect.Effect<Ending>
  return traced(claimed, details)(run)
}

/** What an attempt runs in, where its worker runs in `context`. */
export const contextOf = (handler: Handler, { attempt, id, kind }: Claimed, context: Context.Context<never>) =>
  Context.add(handler.within(context), References.CurrentLogAnnotations, {
    ...Context.get(context, References.CurrentLogAnnotations),
    job: id,
    kind,
    attempt
  })

/** Without types a handler can give back anything, a promise for one; run as an Effect it would take its fiber along. */
const handled = <A, E, R>({ kind }: Handler, effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.isEffect(effect) ? effect : Effect.die(new TypeError(`The handler of "${kind.name}" gave back no Effect`))

/** The shorter of the two limits: the time an attempt may run, and the time after which others would rescue it. */
const limited = (kindTimeout: Duration.Duration | undefined, details: Details, { deadline }: Claimed) => {
  const timeout = details.timeoutMs === undefined ? kindTimeout : Duration.millis(details.timeoutMs)
  const hard = Option.getOrUndefined(deadline)
  const [limit, after] =
    hard !== undefined && (timeout === undefined || Duration.isLessThan(hard, timeout))
      ? ["hard deadline", hard]
      : ["timeout", timeout]
  return <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E | AttemptTimeout, R> =>
    after === undefined
      ? effect
      : Effect.timeoutOrElse(effect, {
          duration: after,
          orElse: () => Effect.fail(new AttemptTimeout({ limit: limit!, after }))
        })
}

/** As part of the trace that enqueued the job. Without a tracer there is nobody to show it. */
const traced =
  (claimed: Claimed, { trace }: Details) =>
  <R>(attempt: Effect.Effect<Ending, never, R>) =>
    Effect.contextWith((context: Context.Context<R>) =>
      Context.get(context, Tracer.Tracer) === Tracer.nativeTracer
        ? attempt
        : Effect.flatMap(attempt, shown).pipe(
            Effect.withSpan(`attempt ${claimed.kind}`, {
              kind: "consumer",
              parent: trace === undefined ? undefined : Tracer.externalSpan(trace),
              root: trace === undefined, // not part of whatever started the worker
              attributes: {
                "lanekeeper.job": claimed.id,
                "lanekeeper.kind": claimed.kind,
                "lanekeeper.queue": claimed.queue,
                "lanekeeper.attempt": claimed.attempt,
                "lanekeeper.failures": claimed.failures,
                "lanekeeper.crashes": claimed.crashes
              }
            }),
            Effect.catchTag("AttemptFaulted", ({ ending }) => Effect.succeed(ending))
          )
    )

/** For the span alone: what fails it. */
class AttemptFaulted extends Schema.TaggedError<AttemptFaulted>()("AttemptFaulted", { ending: Schema.Any }) {
  override get message() {
    const { error, reason } = this.ending as { readonly error?: unknown; readonly reason?: string }
    return messageOf(error) ?? reason ?? "no reason was given"
  }
}

const shown = (ending: Ending): Effect.Effect<Ending, AttemptFaulted> =>
  Effect.andThen(
    Effect.annotateCurrentSpan("lanekeeper.outcome", ending._tag.toLowerCase()),
    ending._tag === "Failed" || ending._tag === "Died" ? new AttemptFaulted({ ending }) : Effect.succeed(ending)
  )
