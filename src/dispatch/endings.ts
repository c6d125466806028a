/** How an attempt ended: what a handler did, as the store is told of it. Whatever it did is one of the endings. */
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as SchemaIssue from "effect/SchemaIssue"
import { AttemptLost, Cancel, Snooze } from "../Attempt.ts"
import type { Ending } from "../domain/Attempt.ts"
import * as Backoff from "../domain/Backoff.ts"
import type { Details } from "../domain/Details.ts"
import { decide, type Decision } from "../FailurePolicy.ts"
import type { Handler } from "../Handlers.ts"
import type { Any } from "../Job.ts"
import type { Claimed } from "../store/Store.ts"

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

const longestError = 65_536 // characters of a failure's fields: those of all attempts are shown together

const describe = SchemaIssue.makeFormatterStandardSchemaV1()

/** Why something does not fit its Schema, with the path of the first fault. */
export const faultOf = ({ issue }: Schema.SchemaError): string => {
  const [first] = describe(issue).issues
  const path = (first?.path ?? []).map(String).join(".")
  return `${path === "" ? "" : `${path}: `}${first?.message ?? "it is not what the Schema says"}`
}

export const undecodable = (cause: Cause.Cause<Schema.SchemaError>): Ending => {
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

export const completed = (kind: Any, output: unknown): Ending => {
  const reason = tooLarge(kind, output)
  return reason === undefined ? { _tag: "Completed", output } : { _tag: "Died", reason }
}

export const tooLarge = ({ maxPayloadBytes }: Any, output: unknown): string | undefined => {
  const bytes = output === undefined || output === null ? 0 : Buffer.byteLength(JSON.stringify(output) ?? "")
  if (bytes > maxPayloadBytes) return `its output has ${bytes} bytes, and at most ${maxPayloadBytes} are kept`
}

const faultOfFailure = Effect.fnUntraced(function* (handler: Handler, failure: unknown) {
  const message = short(failure instanceof Error ? failure.message : textOf(failure))
  const tag = isRecord(failure) && typeof failure["_tag"] === "string" ? failure["_tag"] : "Failure"
  if (!handler.isFailure(failure)) return { defect: undefined, error: { _tag: tag, message }, message } satisfies Fault
  const encoded = yield* Effect.orElseSucceed(handler.encodeFailure(failure), () => undefined)
  const whole = isRecord(encoded) ? { message, ...encoded } : { _tag: tag, message, value: encoded }
  const error = (textOf(whole).length > longestError ? { _tag: tag, message } : whole) satisfies object
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
