/**
 * Runs one attempt and says how it ended. It fails with nothing: whatever a handler does is one of the endings, unless
 * its worker interrupts it, who then knows why.
 */
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { identity } from "effect/Function"
import * as Option from "effect/Option"
import * as References from "effect/References"
import * as Schema from "effect/Schema"
import * as SchemaIssue from "effect/SchemaIssue"
import * as Tracer from "effect/Tracer"
import { type Attempt, AttemptLost, Cancel, Snooze } from "../Attempt.ts"
import type { Ending } from "../domain/Attempt.ts"
import * as Backoff from "../domain/Backoff.ts"
import type { Details } from "../domain/Details.ts"
import { decide, type Decision } from "../FailurePolicy.ts"
import type { Handler } from "../Handlers.ts"
import type { Any } from "../Job.ts"
import type { Whole } from "../Middleware.ts"
import type { Claimed } from "../store/Store.ts"
import { messageOf } from "../texts.ts"
import { keepingLogs, type Memory, type Remembering, remembering } from "./remembering.ts"

/** What an attempt can do beyond its own fiber. */
export interface Reach {
  readonly stopping: Effect.Effect<void>
  /** Ends the attempt in the transaction that is open. */
  readonly complete: (output: unknown) => ReturnType<Attempt["complete"]>
  readonly memory: Memory
  /** What is wrapped around each handler. */
  readonly around: Whole["attempt"]
}

/** It ran longer than its kind or its job allows. */
export class AttemptTimeout extends Schema.TaggedError<AttemptTimeout>()("Timeout", {
  limit: Schema.String,
  after: Schema.Duration
}) {
  override get message() {
    return `It ran longer than its ${this.limit}, ${Duration.format(this.after)}`
  }
}

const longestText = 8_192 // characters kept of a message or a stack: enough to find the line

const describe = SchemaIssue.makeFormatterStandardSchemaV1()

/** Why something does not fit its Schema, with the path of the first fault. */
export const faultOf = ({ issue }: Schema.SchemaError): string => {
  const [first] = describe(issue).issues
  const path = (first?.path ?? []).map(String).join(".")
  return `${path === "" ? "" : `${path}: `}${first?.message ?? "it is not what the Schema says"}`
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
  return Effect.updateContext(traced(claimed, details)(run), (context: Context.Context<never>) =>
    Context.add(handler.within(context), References.CurrentLogAnnotations, {
      ...Context.get(context, References.CurrentLogAnnotations),
      job: claimed.id,
      kind: claimed.kind,
      attempt: claimed.attempt
    })
  )
}

const undecodable = (cause: Cause.Cause<Schema.SchemaError>): Ending => {
  const message = Option.match(Cause.findErrorOption(cause), {
    onNone: () => faultOfDefect(cause).message,
    onSome: faultOf
  })
  return {
    _tag: "Died",
    reason: `its payload is not what its kind says: ${message}`,
    error: { _tag: "InvalidPayload", message }
  }
}

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
    Effect.flatMap(Tracer.Tracer, (tracer) =>
      tracer === Tracer.nativeTracer
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

/** What a handler is given. One is made for every job, and most look at none of it: what costs is made when asked for. */
class AttemptOf implements Attempt<unknown> {
  readonly id
  readonly kind
  readonly queue
  readonly priority
  readonly attempt
  readonly failures
  readonly crashes
  readonly enqueuedAt
  readonly key
  readonly tags
  readonly metadata
  readonly stopping
  readonly #handler: Handler
  readonly #claimed: Claimed
  readonly #reach: Reach
  #remembering: Remembering | undefined

  constructor(handler: Handler, claimed: Claimed, details: Details, reach: Reach) {
    this.id = claimed.id
    this.kind = claimed.kind
    this.queue = claimed.queue
    this.priority = claimed.priority
    this.attempt = claimed.attempt
    this.failures = claimed.failures
    this.crashes = claimed.crashes
    this.enqueuedAt = claimed.enqueuedAt
    this.key = details.key
    this.tags = details.tags ?? []
    this.metadata = details.metadata ?? {}
    this.stopping = reach.stopping
    this.#handler = handler
    this.#claimed = claimed
    this.#reach = reach
  }

  get complete(): Attempt<unknown>["complete"] {
    return (output: unknown) =>
      Effect.flatMap(Effect.orDie(this.#handler.encodeOutput(output)), (encoded) => {
        const reason = tooLarge(this.#handler.kind, encoded)
        return reason === undefined ? this.#reach.complete(encoded) : Effect.die(new RangeError(reason))
      })
  }

  get step() {
    return this.#remember.step
  }

  get progress() {
    return this.#remember.progress
  }

  get checkpoint() {
    return this.#remember.checkpoint
  }

  get checkpointed() {
    return this.#remember.checkpointed
  }

  get #remember() {
    return (this.#remembering ??= remembering(this.#claimed, this.#reach.memory))
  }
}

/** What went wrong, as it is stored and shown: the failure as its kind encodes it, or what is known of a defect. */
interface Fault {
  readonly defect: unknown
  readonly error: unknown
  readonly message: string
}

export const endingOf = Effect.fnUntraced(function* (
  handler: Handler,
  claimed: Claimed,
  cause: Cause.Cause<unknown>
): Effect.fn.Return<Ending> {
  const failure = Option.getOrUndefined(Cause.findErrorOption(cause))
  if (failure instanceof Snooze) return { _tag: "Snoozed", for: failure.for }
  if (failure instanceof Cancel) return { _tag: "Cancelled", reason: failure.reason }
  if (failure instanceof AttemptLost) return { _tag: "Released" }
  yield* Effect.logDebug("An attempt failed", cause)

  const { kind } = handler
  const details = (claimed.details ?? {}) as Details
  const fault = failure === undefined ? faultOfDefect(cause) : yield* faultOfFailure(handler, failure)
  const decision =
    failure !== undefined && handler.isFailure(failure)
      ? yield* Effect.sync(() => decided(decide(kind.onFailure, failure))).pipe(
          orElse("its failure policy", "retry" as const)
        )
      : "retry"
  if (decision === "dead")
    return { _tag: "Died", reason: `not to be tried again: ${fault.message}`, error: fault.error }

  const failures = claimed.failures + 1
  const attempts = details.maxAttempts ?? kind.defaults.maxAttempts ?? Backoff.standardAttempts
  const delay =
    failures >= attempts
      ? Option.none()
      : typeof decision === "object"
        ? Option.some(decision.after)
        : yield* Backoff.delayAfter(kind.backoff, failures, failure ?? fault.defect).pipe(
            orElse("its backoff", Option.some(Duration.minutes(1)))
          )
  if (Option.isNone(delay)) {
    return { _tag: "Died", reason: `exhausted after ${failures} failed attempts: ${fault.message}`, error: fault.error }
  }
  return { _tag: "Failed", error: fault.error, retryIn: delay.value }
})

const decided = (decision: Decision) => {
  if (typeof decision !== "object") return decision
  const after = Duration.fromInputUnsafe(decision.after)
  if (!Duration.isFinite(after) || Duration.isNegative(after)) throw new RangeError(`${after} is no time to wait`)
  return { after }
}

/** What a kind says of failures must not lose one. */
const orElse =
  <B>(what: string, instead: B) =>
  <A>(effect: Effect.Effect<A>) =>
    Effect.catchCause(effect, (cause) =>
      Effect.as(Effect.logError(`A kind cannot say what follows a failure: ${what} throws`, cause), instead)
    )

const completed = (kind: Any, output: unknown): Ending => {
  const reason = tooLarge(kind, output)
  return reason === undefined ? { _tag: "Completed", output } : { _tag: "Died", reason }
}

const tooLarge = ({ maxPayloadBytes }: Any, output: unknown): string | undefined => {
  const bytes = output === undefined || output === null ? 0 : Buffer.byteLength(JSON.stringify(output) ?? "")
  if (bytes > maxPayloadBytes) return `its output has ${bytes} bytes, and at most ${maxPayloadBytes} are kept`
}

const faultOfFailure = Effect.fnUntraced(function* (handler: Handler, failure: unknown) {
  const message = short(failure instanceof Error ? failure.message : textOf(failure))
  const tag = isRecord(failure) && typeof failure["_tag"] === "string" ? failure["_tag"] : "Failure"
  if (!handler.isFailure(failure)) return { defect: undefined, error: { _tag: tag, message }, message } satisfies Fault
  const encoded = yield* Effect.orElseSucceed(handler.encodeFailure(failure), () => undefined)
  const error = isRecord(encoded) ? { message, ...encoded } : { _tag: tag, message, value: encoded }
  return { defect: undefined, error, message } satisfies Fault
})

const faultOfDefect = (cause: Cause.Cause<unknown>): Fault => {
  if (Cause.hasInterruptsOnly(cause)) {
    const message = "the handler interrupted itself"
    return { defect: cause, error: { _tag: "Interrupted", message }, message }
  }
  const defect = Cause.squash(cause)
  if (!(defect instanceof Error)) {
    const message = short(textOf(defect))
    return { defect, error: { _tag: "Defect", message }, message }
  }
  const message = short(defect.message)
  const stack = defect.stack === undefined ? {} : { stack: short(defect.stack) }
  return { defect, error: { _tag: "Defect", name: defect.name, message, ...stack }, message }
}

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value)

const short = (text: string) => (text.length > longestText ? `${text.slice(0, longestText)}…` : text)

const textOf = (value: unknown): string => {
  if (typeof value === "string") return value
  try {
    return JSON.stringify(value) ?? String(value)
  } catch {
    return String(value)
  }
}
