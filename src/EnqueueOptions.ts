/** Reads what a caller asks of a job, and says what is wrong with it. */
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import type { Details } from "./domain/Details.ts"
import type { FollowUps } from "./domain/Event.ts"
import { faultIn, isStorableText } from "./domain/json.ts"
import type { Place } from "./domain/Job.ts"
import { InvalidOption } from "./EnqueueError.ts"
import type { Uniqueness } from "./store/Store.ts"

export interface EnqueueOptions<Field extends string = string> {
  /** How long from now, by the database's clock. Not together with `runAt`. */
  readonly delay?: Duration.Input | undefined
  readonly runAt?: DateTime.DateTime.Input | undefined
  /** 0 runs first, 9 last. Defaults to the kind's, and that to 5. */
  readonly priority?: number | undefined
  /** Defaults to the kind's. */
  readonly queue?: string | undefined
  /** Lets no second job in. `true` compares payloads, a string is the key itself. */
  readonly unique?: boolean | string | UniqueOptions<Field> | undefined
  /** What the job is about, for its handler and whoever looks. At most 256 bytes. */
  readonly key?: string | undefined
  readonly tags?: ReadonlyArray<string> | undefined
  readonly metadata?: Readonly<Record<string, unknown>> | undefined
  /** Defaults to the kind's. */
  readonly maxAttempts?: number | undefined
  /** How long one attempt may run before its worker ends it. Defaults to the kind's. */
  readonly timeout?: Duration.Input | undefined
  /** How long one attempt may be held before it is rescued although its worker is healthy. Defaults to the kind's. */
  readonly deadline?: Duration.Input | undefined
  /** When a job that has not started is no longer worth starting. */
  readonly expiresAt?: DateTime.DateTime.Input | undefined
}

export interface UniqueOptions<Field extends string = string> {
  /** The key itself, at most 256 bytes. Not together with `fields`; without either the whole payload is compared. */
  readonly key?: string | undefined
  /** The payload's fields to compare, by their encoded names. */
  readonly fields?: ReadonlyArray<Field> | undefined
  /**
   * Where the job that is there counts. Defaults to all unfinished places; for `debounce` and `merge` to those of jobs
   * that have not started, for `throttle` to every place.
   */
  readonly places?: ReadonlyArray<Place> | undefined
  /** How long a job counts from its enqueue. Defaults to as long as it stands in `places`; `throttle` needs one. */
  readonly period?: Duration.Input | undefined
  /**
   * Defaults to `keep`: the job that is there stays, and the new one is not enqueued. `throttle` is `keep` over a period,
   * whatever became of the first. `debounce` puts a scheduled one off to the new time. `replace` cancels it for the new
   * one. `merge` does too, and the new one has the fields of both payloads.
   */
  readonly onConflict?: "keep" | "throttle" | "debounce" | "replace" | "merge" | undefined
}

/** What the kind declares, where the caller says nothing. */
export interface Defaults {
  readonly kind: string
  readonly queue: string
  readonly priority: number
  readonly maxAttempts?: number | undefined
  readonly timeout?: Duration.Duration | undefined
  readonly deadline?: Duration.Duration | undefined
  readonly version: number
  readonly followUps?: FollowUps | undefined
  readonly keep: boolean
}

export interface Read {
  readonly queue: string
  readonly priority: number
  readonly runIn?: Duration.Duration | undefined
  readonly runAt?: DateTime.Utc | undefined
  readonly deadline?: Duration.Duration | undefined
  readonly unique?: Uniqueness | undefined
  readonly details: Details
}

const unfinished: ReadonlyArray<Place> = ["scheduled", "ready", "running", "waiting"]
const notStarted: ReadonlyArray<Place> = ["scheduled", "ready", "waiting"]
const everywhere: ReadonlyArray<Place> = [...unfinished, "completed", "cancelled", "dead"]

/** Deeper than what anybody writes by hand, and far from where a parser gives up. */
export const maxDepth = 64

const keyLimit = 256 // bytes: an index entry of a key stays small

const besideLimit = 65_536 // bytes of tags and metadata

/** Thrown inside `read` only, and caught there: a rule is then one line. */
class Fault {
  readonly option: string
  readonly rule: string
  constructor(option: string, rule: string) {
    this.option = option
    this.rule = rule
  }
}

const known = new Set<string>([
  "delay",
  "runAt",
  "priority",
  "queue",
  "unique",
  "key",
  "tags",
  "metadata",
  "maxAttempts",
  "timeout",
  "deadline",
  "expiresAt"
] satisfies ReadonlyArray<keyof EnqueueOptions>)

const knownUnique = new Set<string>(["key", "fields", "places", "period", "onConflict"] satisfies ReadonlyArray<
  keyof UniqueOptions
>)

export const read = (defaults: Defaults, options: EnqueueOptions): Result.Result<Read, InvalidOption> => {
  try {
    return Result.succeed(readUnsafe(defaults, options))
  } catch (fault) {
    if (!(fault instanceof Fault)) throw fault
    return Result.fail(new InvalidOption({ kind: defaults.kind, option: fault.option, rule: fault.rule }))
  }
}

const readUnsafe = (defaults: Defaults, options: EnqueueOptions): Read => {
  onlyKnown("", options, known)
  if (options.delay !== undefined && options.runAt !== undefined) {
    throw new Fault("delay", "and runAt are both given: give one")
  }
  const maxAttempts = options.maxAttempts ?? defaults.maxAttempts
  const timeout = options.timeout === undefined ? defaults.timeout : positive("timeout", options.timeout)
  const metadata = options.metadata
  const odd = metadata === undefined ? undefined : faultIn(metadata, maxDepth)
  if (odd !== undefined) throw new Fault(["metadata", ...odd.path].join("."), odd.reason)
  const { tags } = options
  const beside = tags !== undefined || metadata !== undefined
  if (beside && Buffer.byteLength(JSON.stringify({ tags, metadata })) > besideLimit) {
    throw new Fault("metadata", `has more than ${besideLimit} bytes, with the tags: store what is larger elsewhere`)
  }
  const later = options.delay !== undefined || options.runAt !== undefined
  return {
    queue: options.queue === undefined ? defaults.queue : text("queue", options.queue),
    priority: options.priority === undefined ? defaults.priority : priority(options.priority),
    runIn: options.delay === undefined ? undefined : duration("delay", options.delay),
    runAt: options.runAt === undefined ? undefined : time("runAt", options.runAt),
    deadline: options.deadline === undefined ? defaults.deadline : positive("deadline", options.deadline),
    unique: options.unique === undefined || options.unique === false ? undefined : uniqueness(options.unique, later),
    details: {
      ...(defaults.version === 1 ? {} : { version: defaults.version }),
      ...(maxAttempts === undefined ? {} : { maxAttempts: attempts(maxAttempts) }),
      ...(timeout === undefined ? {} : { timeoutMs: Duration.toMillis(timeout) }),
      ...(options.expiresAt === undefined
        ? {}
        : { expiresAt: DateTime.formatIso(time("expiresAt", options.expiresAt)) }),
      ...(options.key === undefined ? {} : { key: text("key", options.key) }),
      ...(options.tags === undefined ? {} : { tags: options.tags.map((tag) => text("tags", tag)) }),
      ...(metadata === undefined ? {} : { metadata }),
      ...(defaults.followUps === undefined ? {} : { followUps: defaults.followUps }),
      ...(defaults.keep ? {} : { keep: false })
    }
  }
}

const uniqueness = (given: true | string | UniqueOptions, later: boolean): Uniqueness => {
  const options: UniqueOptions = given === true ? {} : typeof given === "string" ? { key: given } : given
  onlyKnown("unique.", options, knownUnique)
  const { fields, key, onConflict = "keep", period } = options
  if (key !== undefined && fields !== undefined)
    throw new Fault("unique.key", "and unique.fields are both given: give one")
  if (fields?.length === 0)
    throw new Fault("unique.fields", "is empty: name a field, or leave it out to compare the payload")
  if (onConflict === "debounce" && !later)
    throw new Fault("unique.onConflict", "is debounce: give the delay to put off by")
  if (onConflict === "throttle" && period === undefined)
    throw new Fault("unique.onConflict", "is throttle: give the period")
  if (!["keep", "throttle", "debounce", "replace", "merge"].includes(onConflict)) {
    throw new Fault("unique.onConflict", "is keep, throttle, debounce, replace or merge")
  }
  const places = options.places ?? defaultPlaces(onConflict)
  if (places.length === 0 || places.some((place) => !everywhere.includes(place))) {
    throw new Fault("unique.places", `are some of ${everywhere.join(", ")}`)
  }
  return {
    by: key !== undefined ? { key: text("unique.key", key) } : fields !== undefined ? { fields } : "payload",
    places,
    period: period === undefined ? undefined : positive("unique.period", period),
    onConflict: onConflict === "throttle" ? "keep" : onConflict
  }
}

const defaultPlaces = (onConflict: string) =>
  onConflict === "throttle" ? everywhere : onConflict === "debounce" || onConflict === "merge" ? notStarted : unfinished

const onlyKnown = (prefix: string, options: object, names: ReadonlySet<string>) => {
  for (const name of Object.keys(options)) {
    if (!names.has(name)) throw new Fault(`${prefix}${name}`, `is no option: there are ${[...names].join(", ")}`)
  }
}

export const textRule = `is not blank, has at most ${keyLimit} bytes, and no character PostgreSQL cannot store`

export const isText = (value: unknown): value is string =>
  typeof value === "string" && value.trim() !== "" && Buffer.byteLength(value) <= keyLimit && isStorableText(value)

const text = (option: string, value: string): string => {
  if (!isText(value)) throw new Fault(option, textRule)
  return value
}

export const priorityRule = "is a whole number from 0, first, to 9, last"

export const isPriority = (value: number) => Number.isInteger(value) && value >= 0 && value <= 9

const priority = (value: number): number => {
  if (!isPriority(value)) throw new Fault("priority", priorityRule)
  return value
}

const attempts = (value: number): number => {
  if (!Number.isInteger(value) || value < 1) throw new Fault("maxAttempts", "is a whole number of at least 1")
  return value
}

const duration = (option: string, value: Duration.Input): Duration.Duration => {
  const read = Option.getOrUndefined(Duration.fromInput(value))
  if (read === undefined || !Duration.isFinite(read) || Duration.toMillis(read) < 0) {
    throw new Fault(option, 'is a length of time such as "5 minutes", and finite')
  }
  return read
}

const positive = (option: string, value: Duration.Input): Duration.Duration => {
  const read = duration(option, value)
  if (Duration.toMillis(read) < 1) throw new Fault(option, "is at least a millisecond")
  return read
}

const time = (option: string, value: DateTime.DateTime.Input): DateTime.Utc => {
  const read = Option.getOrUndefined(DateTime.make(value))
  if (read === undefined) throw new Fault(option, "is no time: give a Date, a DateTime or an ISO 8601 text")
  return DateTime.toUtc(read)
}
