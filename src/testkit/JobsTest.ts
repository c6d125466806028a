/**
 * Tests what an app does with jobs, with no database and no waiting: jobs are kept in memory, and time is the TestClock's.
 *
 * Nothing runs by itself: a test says when a job runs (`runOne`, `drain`) and when time passes (`advance`). What a handler
 * needs is provided as in the app; a worker or maintenance layer can be provided too, and then runs beside the test.
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as TestClock from "effect/testing/TestClock"
import { AttemptLost } from "../Attempt.ts"
import { Client } from "../Client.ts"
import { runAttempt } from "../dispatch/runAttempt.ts"
import type { Ending } from "../domain/Attempt.ts"
import type { Details } from "../domain/Details.ts"
import { type JobId, numberOf, type Place, places } from "../domain/Job.ts"
import { type Handlers, provided } from "../Handlers.ts"
import type { Any, Payload } from "../Job.ts"
import * as Middleware from "../Middleware.ts"
import { tick } from "../lanes/tick.ts"
import { layerMemory } from "../roles/ground.ts"
import { type Claimed, type JobView, type NewNote, Store } from "../store/Store.ts"

/** A client on a store in memory, for one test. Provide your handlers, and what they need, beside it. */
export const layer = Layer.fresh(Client.layer.pipe(Layer.provideMerge(layerMemory)))

/** What a test expected is not so. The message says what is. */
export class ExpectationFailed extends Schema.TaggedError<ExpectationFailed>()("ExpectationFailed", {
  expected: Schema.String,
  found: Schema.String
}) {
  override get message() {
    return `Expected ${this.expected}, but ${this.found}`
  }
}

/** A job of the test's store, its payload decoded. */
export interface Enqueued<K extends Any> extends Omit<JobView, "payload"> {
  readonly payload: Payload<K>
}

const unfinished: ReadonlyArray<Place> = ["scheduled", "ready", "running", "waiting"]

const most = 10_000 // jobs a test looks at or drains: more is a handler that enqueues itself for ever

const everything = (where: ReadonlyArray<Place>) =>
  Effect.gen(function* () {
    const store = yield* Store
    const pages = yield* Effect.forEach(where, (place) => store.page({ place, limit: most }))
    return pages.flat().toSorted((a, b) => Number(numberOf(a.id) - numberOf(b.id)))
  })

/** The jobs of a kind that are not over, oldest first. */
export const enqueued = Effect.fn("JobsTest.enqueued")(function* <K extends Any>(
  kind: K,
  where: ReadonlyArray<Place> = unfinished
) {
  const names = [kind.name, ...kind.aliases]
  const views = (yield* everything(where)).filter((view) => names.includes(view.kind))
  return yield* Effect.forEach(views, (view): Effect.Effect<Enqueued<K>, never, K["payload"]["DecodingServices"]> =>
    Effect.map(Effect.orDie(kind.decode(view.payload, view.details as Details | null)), (payload) => ({
      ...view,
      payload
    }))
  )
})

/** That a job of this kind waits to be run whose payload has these fields, or is as a predicate says. Answers it. */
export const assertEnqueued = Effect.fn("JobsTest.assertEnqueued")(function* <K extends Any>(
  kind: K,
  match: Partial<Payload<K>> | ((payload: Payload<K>) => boolean) = {}
) {
  const all = yield* enqueued(kind)
  const fits = typeof match === "function" ? (match as (payload: Payload<K>) => boolean) : hasFields(match)
  const found = all.find(({ payload }) => fits(payload))
  if (found !== undefined) return found
  const others = all.map(({ payload }) => JSON.stringify(payload)).join(", ")
  return yield* new ExpectationFailed({
    expected: `a job "${kind.name}"${typeof match === "function" ? " that fits" : ` with ${JSON.stringify(match)}`}`,
    found: all.length === 0 ? "none is enqueued" : `there are only ${others}`
  })
})

const hasFields =
  (wanted: object) =>
  (payload: unknown): boolean =>
    Object.entries(wanted).every(([name, value]) => isSame(value, (payload as Record<string, unknown>)[name]))

const isSame = (a: unknown, b: unknown) => JSON.stringify(a) === JSON.stringify(b)

/** What became of a job that was run. */
export type Ran = JobView

/** Runs the job that is next in turn, of one kind or of any that has a handler here. `None`: none is ready. */
export const runOne = Effect.fn("JobsTest.runOne")(function* (kind?: Any) {
  const handlers: ReadonlyMap<string, unknown> = yield* Effect.orDie(provided)
  const kinds = kind === undefined ? [...handlers.keys()] : [kind.name, ...kind.aliases]
  if (kind !== undefined && !handlers.has(kind.name)) {
    return yield* new ExpectationFailed({
      expected: `a handler of "${kind.name}"`,
      found: "none is provided: provide the layer of its `handle`"
    })
  }
  return yield* run(kinds)
})

/** Runs what is ready, and what that makes ready, until nothing is. Answers each as it ended, in the order it ran. */
export const drain: Effect.Effect<ReadonlyArray<Ran>, ExpectationFailed, Handlers | Store> = Effect.gen(function* () {
  const kinds = [...(yield* Effect.orDie(provided)).keys()]
  const ran: Array<Ran> = []
  for (;;) {
    const one = yield* run(kinds)
    if (Option.isNone(one)) return ran
    ran.push(one.value)
    if (ran.length >= most) {
      return yield* new ExpectationFailed({
        expected: "an end",
        found: `${most} jobs were run and there are more: does a handler enqueue itself?`
      })
    }
  }
}).pipe(Effect.withSpan("JobsTest.drain"))

const run = Effect.fnUntraced(function* (kinds: ReadonlyArray<string>) {
  const store = yield* Store
  const worker = yield* store.register("test")
  const queues = new Set((yield* everything(["ready"])).map(({ queue }) => queue))
  let next: Claimed | undefined
  for (const queue of queues) {
    next ??= (yield* store.claim({ worker, kinds, queues: [{ queue, limit: 1 }] })).jobs[0]
  }
  if (next === undefined) return Option.none<Ran>()
  const handler = (yield* Effect.orDie(provided)).get(next.kind)!
  const { attempt, id, lease } = next
  const end = (ending: Ending) =>
    Effect.map(store.finish(worker, [{ id, lease, attempt, ran: Duration.zero, ending }]), ([acceptance]) => acceptance)
  const notes = new Map<string, NewNote>()
  const ending = yield* runAttempt(handler, next, {
    stopping: Effect.never,
    complete: (output) =>
      Effect.flatMap(end({ _tag: "Completed", output }), (acceptance) =>
        acceptance === "refused" ? Effect.fail(new AttemptLost({ id, attempt })) : Effect.void
      ),
    around: (yield* Middleware.provided).attempt,
    memory: {
      recall: store.recall(id),
      remember: (name, value) => store.remember(worker, { id, lease, attempt, name, value }),
      note: (name, value) => notes.set(name, { id, lease, attempt, name, value })
    }
  })
  yield* store.note(worker, [...notes.values()])
  yield* end(ending)
  yield* store.forget(worker)
  return yield* store.show(id)
}, Effect.orDie)

/** That a job stands in a place. Answers it, with its history. */
export const expectOutcome = Effect.fn("JobsTest.expectOutcome")(function* (id: JobId, place: Place) {
  const found = yield* Effect.orDie((yield* Store).show(id))
  if (Option.isSome(found) && found.value.place === place) return found.value
  return yield* new ExpectationFailed({
    expected: `the job ${id} to be ${place}`,
    found: Option.match(found, {
      onNone: () => "there is none",
      onSome: (view) => {
        const last = view.history.at(-1)
        return `it is ${view.place}${last === undefined ? "" : `: ${last.reason ?? JSON.stringify(last.error ?? last.state)}`}`
      }
    })
  })
})

const step = Duration.seconds(10) // a worker is given up only while somebody looks often enough
const steps = 60

/** Lets time pass, with the lanes that a maintenance process would run meanwhile. */
export const advance = Effect.fn("JobsTest.advance")(function* (time: Duration.Input) {
  const whole = Duration.fromInputUnsafe(time)
  const times = Math.min(steps, Math.max(1, Math.ceil(Duration.toMillis(whole) / Duration.toMillis(step))))
  yield* Effect.orDie(tick())
  for (let n = 0; n < times; n++) {
    yield* TestClock.adjust(Duration.times(whole, 1 / times))
    yield* Effect.orDie(tick())
  }
})

/** Does something as if that long ago: what is enqueued is that old, what ended has ended then. */
export const ago = <A, E, R>(time: Duration.Input, effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.flatMap(Clock.Clock, (clock) => {
    const millis = Duration.toMillis(Duration.fromInputUnsafe(time))
    const then = () => clock.currentTimeMillisUnsafe() - millis
    const thenNanos = () => clock.currentTimeNanosUnsafe() - BigInt(millis) * 1_000_000n
    return Effect.provideService(effect, Clock.Clock, {
      ...clock,
      sleep: (duration) => clock.sleep(duration),
      currentTimeMillisUnsafe: then,
      currentTimeMillis: Effect.sync(then),
      currentTimeNanosUnsafe: thenNanos,
      currentTimeNanos: Effect.sync(thenNanos)
    })
  })

/** Takes the lead from whoever has it, as if its process had vanished with a clean end. */
export const failOver: Effect.Effect<void, never, Store> = Effect.gen(function* () {
  const store = yield* Store
  yield* store.resign((yield* store.leader).term)
}).pipe(Effect.orDie)

/** How many jobs stand in each place. */
export const counts: Effect.Effect<Readonly<Record<Place, number>>, never, Store> = Effect.gen(function* () {
  const store = yield* Store
  const sizes = yield* Effect.forEach(places, (place) =>
    Effect.map(store.page({ place, limit: most }), (page) => page.length)
  )
  return Object.fromEntries(places.map((place, index) => [place, sizes[index]!])) as Record<Place, number>
}).pipe(Effect.orDie)
