/**
 * Defines kinds of jobs: a name, what a job is given, what it gives back, how it can fail, and where it runs.
 *
 * A kind is plain data that a producer and a worker share. What it does is said where it is handled.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type * as Layer from "effect/Layer"
import type * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import type { SqlError } from "effect/sql/SqlError"
import type { Attempt } from "./Attempt.ts"
import { Client, type Result as JobResult } from "./Client.ts"
import * as Backoff from "./domain/Backoff.ts"
import type { Details } from "./domain/Details.ts"
import type { FollowUp as StoredFollowUp, FollowUps } from "./domain/Event.ts"
import type { JobId } from "./domain/Job.ts"
import { millis } from "./domain/millis.ts"
import type { EnqueueError } from "./EnqueueError.ts"
import {
  type Defaults,
  type EnqueueOptions,
  isPriority,
  isText,
  priorityRule,
  read,
  textRule
} from "./EnqueueOptions.ts"
import type { FailurePolicy } from "./FailurePolicy.ts"
import * as Handlers from "./Handlers.ts"
import type { Signal } from "./Handlers.ts"
import type { Enqueued } from "./store/Store.ts"

type PayloadSchema<Payload> = Payload extends Schema.Struct.Fields ? Schema.Struct<Payload> : Payload

/** The names of a payload's fields as they are stored. */
type FieldOf<Payload extends Schema.Top> = Extract<keyof Payload["Encoded"], string>

export interface Kind<
  Name extends string = string,
  Payload extends Schema.Top = Schema.Top,
  Output extends Schema.Top = Schema.Top,
  Failure extends Schema.Top = Schema.Top
> {
  readonly name: Name
  readonly payload: Payload
  readonly output: Output
  readonly failure: Failure
  /** Names that jobs of this kind had before it was renamed. They are handled as its own. */
  readonly aliases: ReadonlyArray<string>
  readonly defaults: Defaults
  readonly maxPayloadBytes: number
  readonly keepLogs: number
  readonly events: boolean
  readonly backoff: Schedule.Schedule<unknown, any>
  readonly onFailure: FailurePolicy<Failure["Type"]> | undefined
  readonly upgrade: (payload: unknown, version: number) => unknown
  /** To JSON, whatever the Schema's own encoding. */
  readonly encode: (payload: Payload["Type"]) => Effect.Effect<unknown, Schema.SchemaError, Payload["EncodingServices"]>
  /** From JSON as it is stored, brought up to this version. */
  readonly decode: (
    payload: unknown,
    details: Details | null
  ) => Effect.Effect<Payload["Type"], Schema.SchemaError, Payload["DecodingServices"]>

  /** Enqueues one job, in the transaction that is open, if one is. */
  readonly enqueue: (
    payload: Payload["Type"],
    options?: EnqueueOptions<FieldOf<Payload>>
  ) => Effect.Effect<Enqueued, EnqueueError, Client | Payload["EncodingServices"]>
  /** Enqueues all of them or none: 100,000 in a call are fine. Options may differ from one to the next. */
  readonly enqueueMany: (
    payloads: Iterable<Payload["Type"]>,
    options?: Each<EnqueueOptions<FieldOf<Payload>>, Payload["Type"]>
  ) => Effect.Effect<ReadonlyArray<Enqueued>, EnqueueError, Client | Payload["EncodingServices"]>
  /** Enqueues all a stream gives, or none when it or one of them fails. Holds a few thousand in memory at a time. */
  readonly enqueueStream: <E, R>(
    payloads: Stream.Stream<Payload["Type"], E, R>,
    options?: Each<EnqueueOptions<FieldOf<Payload>>, Payload["Type"]>
  ) => Effect.Effect<number, EnqueueError | E, Client | Payload["EncodingServices"] | R>
  /** Waits until a job is over and answers its output. */
  readonly await: (
    id: JobId
  ) => Effect.Effect<Output["Type"], JobResult.NotCompleted | SqlError, Client | Output["DecodingServices"]>
  /** Says what a job of this kind does. A worker that is provided with the layer runs them. */
  readonly handle: <R = never>(
    handler: (
      payload: Payload["Type"],
      attempt: Attempt<Output["Type"]>
    ) => Effect.Effect<Output["Type"], Failure["Type"] | Signal, R>
  ) => Layer.Layer<
    Handlers.Handlers | Handlers.Handles<Name>,
    never,
    Exclude<R, Scope.Scope> | Payload["DecodingServices"] | Output["EncodingServices"] | Failure["EncodingServices"]
  >
}

export interface Any extends Kind<any, any, any, any> {}

export type Payload<K extends Any> = K["payload"]["Type"]
export type Output<K extends Any> = K["output"]["Type"]
export type Failure<K extends Any> = K["failure"]["Type"]

/** What a follow-up is given: the job it follows, which `Client.get` shows, and what became of it. */
export const FollowUp = Schema.Struct({
  type: Schema.Literals(["rescued", "died"]),
  job: Schema.String.pipe(Schema.brand("lanekeeper/JobId")),
  kind: Schema.String,
  attempt: Schema.Int,
  /** How often the job was rescued since it was enqueued, or last driven again. */
  rescues: Schema.Int,
  /** Why it died. */
  reason: Schema.NullOr(Schema.String)
})

export type FollowUp = typeof FollowUp.Type

export type FollowUpKind = Pick<Kind<string, typeof FollowUp>, "name" | "payload" | "defaults">

/** The same for every item, or made for each. */
export type Each<Options, Item> = Options | ((item: Item, index: number) => Options)

export interface MakeOptions<Payload, Output, Failure extends Schema.Top> {
  /** The fields, or a Schema. Stored as JSON, whatever the Schema's own encoding. */
  readonly payload: Payload
  /** What the handler gives back, kept with the job. Defaults to nothing. */
  readonly output?: Output | undefined
  /** How the handler fails: it decides whether a failure is tried again. Defaults to never. */
  readonly failure?: Failure | undefined
  /** Defaults to `default`. */
  readonly queue?: string | undefined
  /** 0 runs first, 9 last. Defaults to 5. */
  readonly priority?: number | undefined
  /** Defaults to 20. */
  readonly maxAttempts?: number | undefined
  /** How long one attempt may run before its worker ends it. Defaults to no limit. */
  readonly timeout?: Duration.Input | undefined
  /** How long one attempt may be held before it is rescued although its worker is healthy. Defaults to no limit. */
  readonly deadline?: Duration.Input | undefined
  /**
   * How long a job that failed waits for its next attempt; when it is done, so is the job. Its input is the failure.
   * Defaults to 1 second, doubled with each failure up to an hour, give or take a tenth.
   */
  readonly backoff?: Schedule.Schedule<unknown, Failure["Type"]> | undefined
  /** What becomes of a job, by its failure's tag or by the failure. Defaults to `retry`. */
  readonly onFailure?: FailurePolicy<Failure["Type"]> | undefined
  /**
   * Enqueued when a job of this kind dies, in the same transaction, whatever process that is in: it is stored with the
   * job when that is enqueued.
   */
  readonly onDeath?: FollowUpKind | undefined
  /** The same, each time a job of this kind is rescued from a worker that vanished or held it past its deadline. */
  readonly onRescue?: FollowUpKind | undefined
  /** Names this kind had before. */
  readonly aliases?: ReadonlyArray<string> | undefined
  /** Of the payload's shape. Defaults to 1. */
  readonly version?: number | undefined
  /** Makes of a payload of an older version one of this. Defaults to leaving it as it is. */
  readonly upgrade?: ((payload: unknown, version: number) => unknown) | undefined
  /** Defaults to 1 MiB, and is 8 MiB at most. A job says where large things are; it does not carry them. */
  readonly maxPayloadBytes?: number | undefined
  /**
   * Whether the end of each attempt is told to others, in a row that is written with it. Rescues and deaths always are.
   * Defaults to false.
   */
  readonly events?: boolean | undefined
  /**
   * `false` keeps nothing of a job that has completed or was cancelled: its rows go with the next storage that is
   * emptied, and until then it can be read. Defaults to keeping it for a day. The dead are kept either way.
   */
  readonly keep?: boolean | undefined
  /** How many of the last lines each attempt logs are kept with the job. Defaults to none. */
  readonly keepLogs?: number | undefined
}

/** A kind that cannot work as it is declared. A defect: it is found when the module is loaded. */
export class InvalidKind extends Schema.TaggedError<InvalidKind>()("InvalidKind", {
  kind: Schema.String,
  rule: Schema.String
}) {
  override get message() {
    return `The kind "${this.kind}" is declared wrongly: ${this.rule}`
  }
}

export const make = <
  const Name extends string,
  Payload extends Schema.Struct.Fields | Schema.Top,
  Output extends Schema.Top = Schema.Void,
  Failure extends Schema.Top = Schema.Never
>(
  name: Name,
  options: MakeOptions<Payload, Output, Failure>
): Kind<Name, PayloadSchema<Payload> & Schema.Top, Output, Failure> => {
  const kind = {
    name,
    payload: Schema.isSchema(options.payload)
      ? options.payload
      : Schema.Struct(options.payload as Schema.Struct.Fields),
    output: options.output ?? Schema.Void,
    failure: options.failure ?? Schema.Never,
    aliases: options.aliases ?? [],
    defaults: defaultsOf(name, options),
    maxPayloadBytes: options.maxPayloadBytes ?? 1_048_576,
    keepLogs: options.keepLogs ?? 0,
    events: options.events ?? false,
    backoff: options.backoff ?? Backoff.standard,
    onFailure: options.onFailure,
    upgrade: options.upgrade ?? ((payload: unknown) => payload)
  }
  const codec = Schema.toCodecJson(kind.payload)
  const decode = Schema.decodeUnknownEffect(codec)
  const full: Any = {
    ...kind,
    encode: Schema.encodeUnknownEffect(codec),
    decode: (payload, details) => {
      const version = details?.version ?? 1
      return decode(version < kind.defaults.version ? kind.upgrade(payload, version) : payload)
    },
    enqueue: (payload, options) => Effect.flatMap(Client, (client) => client.enqueue(full, payload, options)),
    enqueueMany: (payloads, options) => Effect.flatMap(Client, (client) => client.enqueueMany(full, payloads, options)),
    enqueueStream: (payloads, options) =>
      Effect.flatMap(Client, (client) => client.enqueueStream(full, payloads, options)),
    await: (id) => Effect.flatMap(Client, (client) => client.await(full, id)),
    handle: (handler) => Handlers.layer(full, handler)
  }
  return full as never
}

const defaultsOf = (kind: string, options: MakeOptions<unknown, unknown, any>): Defaults => {
  const refuse = (rule: string): never => {
    throw new InvalidKind({ kind, rule })
  }
  const length = (option: string, input: Duration.Input | undefined) => {
    if (input === undefined) return undefined
    const duration = Option.getOrUndefined(Duration.fromInput(input))
    if (duration === undefined || !Duration.isFinite(duration) || Duration.toMillis(duration) < 1) {
      return refuse(`its ${option} is a length of time of at least a millisecond`)
    }
    return duration
  }
  const { maxAttempts, priority = 5, queue = "default", version = 1 } = options
  if (!isText(kind)) refuse(`its name ${textRule}`)
  if (!isText(queue)) refuse(`its queue ${textRule}`)
  for (const alias of options.aliases ?? []) if (!isText(alias)) refuse(`an alias ${textRule}`)
  if (!isPriority(priority)) refuse(`its priority ${priorityRule}`)
  if (!Number.isInteger(version) || version < 1) refuse("its version is a whole number of at least 1")
  if (maxAttempts !== undefined && (!Number.isInteger(maxAttempts) || maxAttempts < 1)) {
    refuse("its maxAttempts is a whole number of at least 1")
  }
  const { keepLogs = 0, maxPayloadBytes = 1 } = options
  // A client of the database takes messages of 16 MiB, and one row is a message.
  if (!Number.isInteger(maxPayloadBytes) || maxPayloadBytes < 1 || maxPayloadBytes > 8_388_608) {
    refuse("its maxPayloadBytes is a whole number from 1 to 8388608")
  }
  if (!Number.isInteger(keepLogs) || keepLogs < 0 || keepLogs > 1_000) {
    refuse("its keepLogs is a whole number of lines from 0 to 1,000")
  }
  return {
    kind,
    queue,
    priority,
    version,
    maxAttempts,
    timeout: length("timeout", options.timeout),
    deadline: length("deadline", options.deadline),
    followUps: followUpsOf(options),
    keep: options.keep ?? true
  }
}

const followUpsOf = ({ onDeath, onRescue }: MakeOptions<unknown, unknown, any>): FollowUps | undefined => {
  if (onDeath === undefined && onRescue === undefined) return undefined
  return {
    ...(onDeath === undefined ? {} : { died: followUpOf(onDeath) }),
    ...(onRescue === undefined ? {} : { rescued: followUpOf(onRescue) })
  }
}

const followUpOf = ({ defaults, name }: FollowUpKind): StoredFollowUp => {
  const { deadline, details, priority, queue } = Result.getOrThrow(read(defaults, {}))
  return {
    kind: name,
    queue,
    priority,
    ...(deadline === undefined ? {} : { deadlineMs: millis(deadline) }),
    ...(Object.keys(details).length === 0 ? {} : { details: { ...details } })
  }
}

/** Kinds an app knows together, found by the names their jobs are stored under. */
export interface Group<out K extends Any = Any> {
  readonly kinds: ReadonlyArray<K>
  /** By name or alias. */
  readonly get: (name: string) => K | undefined
}

/** Puts kinds together. Two that claim one name are a defect. */
export const group = <const Kinds extends ReadonlyArray<Any>>(...kinds: Kinds): Group<Kinds[number]> => {
  const byName = new Map<string, Kinds[number]>()
  for (const kind of kinds) {
    for (const name of [kind.name, ...kind.aliases]) {
      const other = byName.get(name)
      if (other !== undefined && other !== kind) {
        throw new InvalidKind({ kind: kind.name, rule: `the name "${name}" belongs to the kind "${other.name}" too` })
      }
      byName.set(name, kind)
    }
  }
  return { kinds, get: (name) => byName.get(name) }
}
