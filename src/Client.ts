/**
 * Enqueues jobs, reads what became of them and moves them when somebody asks. It needs no worker and no maintenance, and leaves no row of its own.
 *
 * What it writes joins the transaction that is open on the same `PgClient`: a rollback leaves nothing, and nobody is
 * woken for it.
 */
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import * as Option from "effect/Option"
import * as EffectResult from "effect/Result"
import * as Schedule from "effect/Schedule"
import * as SchemaIssue from "effect/SchemaIssue"
import * as Stream from "effect/Stream"
import * as Tracer from "effect/Tracer"
import type { SqlError } from "effect/sql/SqlError"
import type { Details, Trace } from "./domain/Details.ts"
import type { Event } from "./domain/Event.ts"
import { isOver, type JobId } from "./domain/Job.ts"
import { faultIn } from "./domain/json.ts"
import type { Note } from "./domain/Note.ts"
import { type EnqueueError, InvalidPayload, PayloadTooLarge } from "./EnqueueError.ts"
import { type EnqueueOptions, maxDepth, read } from "./EnqueueOptions.ts"
import type { Any, Each, Output, Payload } from "./Job.ts"
import { type JobEvent, publisher } from "./JobEvents.ts"
import * as Middleware from "./Middleware.ts"
import { type Moves, moves } from "./Moves.ts"
import * as Result from "./Result.ts"
import { type Enqueued, type JobView, type NewJob, type PageOptions, Store, type Uniqueness } from "./store/Store.ts"
import { Tally } from "./Tally.ts"
import { Wakeup } from "./Wakeup.ts"

export * as Result from "./Result.ts"

export class Client extends Context.Service<
  Client,
  {
    readonly enqueue: <K extends Any>(
      kind: K,
      payload: Payload<K>,
      options?: EnqueueOptions
    ) => Effect.Effect<Enqueued, EnqueueError, K["payload"]["EncodingServices"]>
    readonly enqueueMany: <K extends Any>(
      kind: K,
      payloads: Iterable<Payload<K>>,
      options?: Each<EnqueueOptions, Payload<K>>
    ) => Effect.Effect<ReadonlyArray<Enqueued>, EnqueueError, K["payload"]["EncodingServices"]>
    readonly enqueueStream: <K extends Any, E, R>(
      kind: K,
      payloads: Stream.Stream<Payload<K>, E, R>,
      options?: Each<EnqueueOptions, Payload<K>>
    ) => Effect.Effect<number, EnqueueError | E, K["payload"]["EncodingServices"] | R>
    readonly await: <K extends Any>(
      kind: K,
      id: JobId
    ) => Effect.Effect<Output<K>, Result.NotCompleted | SqlError, K["output"]["DecodingServices"]>
    /** A job with its history. `None`: there is none, or it has passed its retention. */
    readonly get: (id: JobId) => Effect.Effect<Option.Option<JobView>, SqlError>
    /** What attempts of a job have noted: progress, checkpoint, results of steps, logs. */
    readonly recall: (id: JobId) => Effect.Effect<ReadonlyArray<Note>, SqlError>
    /**
     * What is told of jobs, wherever it happened, written with the moves that did it: those after a position, and then
     * those to come. Events come in the order of their positions, and none is missed for as long as it is kept.
     */
    readonly events: (options?: { readonly after?: bigint | undefined }) => Stream.Stream<Event, SqlError>
    /** A page of the jobs of one place, newest first. */
    readonly list: (options: PageOptions) => Effect.Effect<ReadonlyArray<JobView>, SqlError>
  } & Moves
>()("lanekeeper/Client") {
  static readonly layer = Layer.effect(
    this,
    Effect.suspend(() => make)
  )
}

type Prepared = NewJob & { readonly unique?: Uniqueness | undefined }

const chunk = 1_000 // one statement stays under ~20 ms, and under 16 MiB up to 16 KiB a payload
const chunkBytes = 4_194_304 // what larger payloads are cut by

const page = 256 // events read at once
const look = "1 second" // as often as they are given positions

const make = Effect.gen(function* () {
  const store = yield* Store
  const wakeup = yield* Wakeup
  const middleware = yield* Middleware.provided
  const publish = yield* publisher

  /** One statement for those without a key, in the order given; those with keys after them. */
  const write = Effect.fnUntraced(function* (jobs: ReadonlyArray<Prepared>) {
    const unique = jobs.filter((job): job is NewJob & { readonly unique: Uniqueness } => job.unique !== undefined)
    const plain = unique.length === 0 ? jobs : jobs.filter((job) => job.unique === undefined)
    const ids = (yield* store.enqueue(plain)).values()
    const admitted = (unique.length === 0 ? [] : yield* store.enqueueUnique(unique)).values()
    const enqueued = jobs.map((job): Enqueued =>
      job.unique === undefined
        ? { id: ids.next().value!, outcome: "enqueued", former: Option.none() }
        : admitted.next().value!
    )
    yield* measured(jobs, enqueued)
    yield* store.afterCommit(told(jobs, enqueued))
    return enqueued
  })

  /** Whom it concerns. Of times this process's clock tells which have come: the store's decides, and a wrong guess costs a poll. */
  const told = (jobs: ReadonlyArray<Prepared>, enqueued: ReadonlyArray<Enqueued>) =>
    Effect.clockWith((clock) => {
      const now = clock.currentTimeMillisUnsafe()
      const queues = new Set<string>()
      for (const job of jobs) if (isDue(job, now)) queues.add(job.queue)
      const woken = queues.size === 0 ? Effect.void : wakeup.poke(queues)
      // One that gave way while it ran is interrupted by its worker.
      const beaten = enqueued.some(({ former }) => Option.isSome(former))
        ? Effect.andThen(woken, wakeup.pokeBeat)
        : woken
      return publish === undefined ? beaten : Effect.andThen(beaten, publish(events(jobs, enqueued)))
    })

  const asked = <K extends Any>(kind: K, options: EnqueueOptions, trace: Trace | undefined) =>
    Effect.fromResult(ask(kind, middleware.options(options, kind), trace))

  const enqueue = Effect.fnUntraced(function* <K extends Any>(kind: K, payload: Payload<K>, options: EnqueueOptions) {
    const job = yield* asked(kind, options, yield* currentTrace)
    const encoded = yield* encode(kind, payload)
    const [enqueued] = yield* write([{ ...job, payload: encoded.payload, json: encoded.json }])
    return enqueued!
  })

  const writeAll = Effect.fnUntraced(function* <K extends Any, E, R>(
    kind: K,
    payloads: Stream.Stream<Payload<K>, E, R>,
    options: Each<EnqueueOptions, Payload<K>>,
    each: (enqueued: ReadonlyArray<Enqueued>) => void
  ) {
    const trace = yield* currentTrace
    let index = 0
    let bytes = 0
    let jobs: Array<Prepared> = []
    const flush = Effect.suspend(() => {
      const full = jobs
      jobs = []
      bytes = 0
      if (full.length === 0) return Effect.void
      return Effect.map(write(full), each)
    })
    const optionsOf = typeof options === "function" ? options : () => options
    const shared = typeof options === "function" ? undefined : yield* asked(kind, options, trace)
    const add = Effect.fnUntraced(function* (some: ReadonlyArray<Payload<K>>) {
      for (const payload of some) {
        const job = shared ?? (yield* asked(kind, optionsOf(payload, index), trace))
        index++
        const encoding = encode(kind, payload)
        const encoded = valueOf(encoding) ?? (yield* encoding)
        jobs.push({ ...job, payload: encoded.payload, json: encoded.json })
        bytes += encoded.bytes
        if (jobs.length >= chunk || bytes >= chunkBytes) yield* flush
      }
    })
    yield* middleware.enqueue(store.atomically(Effect.andThen(Stream.runForEachArray(payloads, add), flush)), kind)
    return index
  })

  const later = (after: bigint) =>
    store.events({ after, limit: page }).pipe(
      Effect.tap((events) => (events.length === 0 ? Effect.sleep(look) : Effect.void)),
      Effect.map((events) => [events, Option.some(events.at(-1)?.position ?? after)] as const)
    )

  return Client.of({
    enqueue: (kind, payload, options = {}) =>
      middleware.enqueue(shown("Client.enqueue", enqueue(kind, payload, options)), kind),
    enqueueMany: Effect.fn("Client.enqueueMany")(function* (kind, payloads, options = {}) {
      const all: Array<Enqueued> = []
      yield* writeAll(kind, Stream.fromIterable(payloads), options, (enqueued) => void all.push(...enqueued))
      return all
    }),
    enqueueStream: Effect.fn("Client.enqueueStream")(function* (kind, payloads, options = {}) {
      return yield* writeAll(kind, payloads, options, () => undefined)
    }),
    await: Effect.fn("Client.await")(function* (kind, id) {
      const view = yield* store.show(id).pipe(
        Effect.repeat({
          schedule: untilOver,
          while: Option.exists((view: JobView) => !isOver(view.place))
        })
      )
      return yield* Result.of(kind, id, view)
    }),
    get: store.show,
    recall: store.recall,
    events: ({ after = 0n } = {}) => Stream.paginate(after, later),
    list: store.page,
    ...moves(store, wakeup)
  })
})

const counter = new Tally(
  Metric.counter("lanekeeper.jobs.enqueued", {
    description: "Jobs enqueued here, committed or not, by kind, queue and outcome",
    incremental: true
  }),
  ["kind", "queue", "outcome"]
)

const measured = (jobs: ReadonlyArray<Prepared>, enqueued: ReadonlyArray<Enqueued>) =>
  counter.count(jobs, ({ kind, queue }, index) => [kind, queue, enqueued[index]!.outcome])

const events = (jobs: ReadonlyArray<Prepared>, enqueued: ReadonlyArray<Enqueued>) =>
  jobs.map(({ kind, queue }, index): JobEvent => {
    const { id, outcome } = enqueued[index]!
    return { _tag: "Enqueued", id, kind, queue, outcome }
  })

const isDue = ({ runAt, runIn }: Prepared, now: number): boolean =>
  runAt === undefined ? runIn === undefined || Duration.toMillis(runIn) <= 0 : runAt.epochMilliseconds <= now

/** Quick for what takes a moment, then once a second. */
const untilOver = Schedule.min([Schedule.exponential("20 millis", 1.5), Schedule.spaced("1 second")])

const describe = SchemaIssue.makeFormatterStandardSchemaV1()

/** What the options say, the same for every payload they are given for. */
const ask = (kind: Any, options: EnqueueOptions, trace: Trace | undefined) =>
  EffectResult.map(read(kind.defaults, options), ({ details, ...asked }) => {
    const travels: Details = trace === undefined ? details : { ...details, trace }
    return { kind: kind.name, ...asked, details: Object.keys(travels).length === 0 ? undefined : travels }
  })

interface Encoded {
  readonly payload: unknown
  readonly json: string
  readonly bytes: number
}

/** A payload as it is stored, and how large it is. */
const encode = <K extends Any>(kind: K, payload: Payload<K>) =>
  Effect.flatMapEager(
    Effect.mapErrorEager(kind.encode(payload), ({ issue }) => {
      const [first] = describe(issue).issues
      const path = (first?.path ?? []).map((part) => (typeof part === "number" ? part : String(part)))
      return new InvalidPayload({
        kind: kind.name,
        path,
        reason: first?.message ?? "is not what the kind's Schema says"
      })
    }),
    (encoded): Effect.Effect<Encoded, InvalidPayload | PayloadTooLarge> => {
      const fault = faultIn(encoded, maxDepth)
      if (fault !== undefined) return Effect.fail(new InvalidPayload({ kind: kind.name, ...fault }))
      const json = JSON.stringify(encoded ?? null)
      const bytes = Buffer.byteLength(json)
      const limit = kind.maxPayloadBytes
      if (bytes > limit) return Effect.fail(new PayloadTooLarge({ kind: kind.name, bytes, limit }))
      return Effect.succeed({ payload: encoded, json, bytes })
    }
  )

/** What an effect gives that has it already, as most Schemas do: a step of the fiber takes as long as to encode. */
const valueOf = <A, E, R>(effect: Effect.Effect<A, E, R>): A | undefined =>
  Exit.isExit(effect) && Exit.isSuccess(effect) ? (effect.value as A) : undefined

/** Without a tracer there is nobody to show it: a span and where it was made take longer than all the rest. */
const traced = <A, E, R>(of: (tracer: boolean) => Effect.Effect<A, E, R>) =>
  Effect.flatMap(Tracer.Tracer, (tracer) => of(tracer !== Tracer.nativeTracer))

const shown = <A, E, R>(name: string, effect: Effect.Effect<A, E, R>) =>
  traced((traced) => (traced ? Effect.withSpan(effect, name) : effect))

/** The span to link attempts to. */
const currentTrace = traced((traced) =>
  traced
    ? Effect.map(Effect.option(Effect.currentParentSpan), (span) =>
        Option.getOrUndefined(Option.map(span, ({ sampled, spanId, traceId }): Trace => ({ traceId, spanId, sampled })))
      )
    : Effect.undefined
)
