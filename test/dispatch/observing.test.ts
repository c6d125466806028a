/** What an app wraps around its jobs, and what it hears of them. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Ref from "effect/Ref"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import { Client } from "../../src/Client.ts"
import * as Job from "../../src/Job.ts"
import { type JobEvent, JobEvents } from "../../src/JobEvents.ts"
import * as Middleware from "../../src/Middleware.ts"
import { layerMemory } from "../../src/roles/ground.ts"
import { layerWorker } from "../../src/roles/worker.ts"
import { Store } from "../../src/store/Store.ts"
import { elapse } from "./world.ts"

class Refused extends Schema.TaggedError<Refused>()("Refused", {}) {}

const Pay = Job.make("pay", {
  payload: { n: Schema.Int },
  failure: Refused,
  onFailure: { Refused: "dead" }
})
const Paying = Pay.handle(({ n }) => (n < 0 ? Effect.fail(new Refused()) : Effect.void))

const app = <A = never>(beside: Layer.Layer<A> = Layer.empty as never, concurrency = 10) =>
  layerWorker({ concurrency }).pipe(
    Layer.provide(Paying),
    Layer.provideMerge(Client.layer),
    Layer.provideMerge(Layer.fresh(layerMemory)),
    Layer.provideMerge(beside)
  )

describe("Middleware", () => {
  it.effect("wraps every enqueue and every handler, those provided first outermost, and changes options [LK-G8]", () =>
    Effect.gen(function* () {
      const told = yield* Ref.make<ReadonlyArray<string>>([])
      const tell = (line: string) => Ref.update(told, (lines) => [...lines, line])
      const named = (name: string) =>
        Middleware.layer({
          options: (options, kind) => ({ ...options, metadata: { ...options.metadata, [name]: kind.name } }),
          enqueue: (enqueue) => Effect.andThen(tell(`${name} enqueues`), enqueue),
          attempt: (handler, { id }) =>
            Effect.ensuring(
              Effect.andThen(tell(`${name} begins`), handler),
              tell(`${name} ends ${id === "" ? "?" : ""}`)
            )
        })
      yield* Effect.gen(function* () {
        const { id } = yield* Pay.enqueue({ n: 1 }, { metadata: { own: true } })
        yield* elapse("1 second")
        const view = Option.getOrThrow(yield* (yield* Client).get(id))
        assert.deepStrictEqual((view.details as { metadata: unknown }).metadata, {
          own: true,
          outer: "pay",
          inner: "pay"
        })
        yield* Ref.set(told, ["—", ...(yield* Ref.get(told))])
        yield* Pay.enqueueMany([{ n: 1 }, { n: 2 }])
      }).pipe(Effect.provide(app(named("inner").pipe(Layer.provideMerge(named("outer"))))))
      assert.deepStrictEqual((yield* Ref.get(told)).slice(0, 9), [
        "—",
        "outer enqueues",
        "inner enqueues",
        "outer begins",
        "inner begins",
        "inner ends ",
        "outer ends ",
        "outer enqueues",
        "inner enqueues"
      ])
    })
  )

  it.effect("can fail what it wraps, and that is told as any failure is [LK-G8]", () =>
    Effect.gen(function* () {
      const { id } = yield* Pay.enqueue({ n: 1 })
      yield* elapse("1 second")
      const view = Option.getOrThrow(yield* (yield* Client).get(id))
      assert.isAtLeast(view.failures, 1)
      assert.include((view.history[0]!.error as { message: string }).message, "not on a Sunday")
    }).pipe(Effect.provide(app(Middleware.layer({ attempt: () => Effect.die(new Error("not on a Sunday")) }))))
  )
})

const collect = Effect.gen(function* () {
  const { stream } = yield* JobEvents
  const heard = yield* Ref.make<ReadonlyArray<JobEvent>>([])
  yield* Effect.forkScoped(Stream.runForEach(stream, (event) => Ref.update(heard, (all) => [...all, event])))
  yield* TestClock.adjust(0)
  return { heard: Ref.get(heard) }
})

const sentence = (event: JobEvent) =>
  event._tag === "Ended" ? `${event.id} ${event.ending._tag}` : `${event.id} ${event._tag}`

describe("Events of jobs", () => {
  it.effect("are told in this process as they happen: what was enqueued, began, and ended [LK-G8]", () =>
    Effect.gen(function* () {
      const { heard } = yield* collect
      const { id: paid } = yield* Pay.enqueue({ n: 1 })
      yield* elapse("1 second")
      const { id: refused } = yield* Pay.enqueue({ n: -1 })
      yield* elapse("1 second")
      assert.deepStrictEqual((yield* heard).map(sentence), [
        `${paid} Enqueued`,
        `${paid} Started`,
        `${paid} Completed`,
        `${refused} Enqueued`,
        `${refused} Started`,
        `${refused} Died`
      ])
    }).pipe(Effect.scoped, Effect.provide(app(JobEvents.layer())))
  )

  it.effect("are not told of what was rolled back [LK-G8, LK-E1]", () =>
    Effect.gen(function* () {
      const { heard } = yield* collect
      const store = yield* Store
      yield* Effect.exit(store.atomically(Effect.andThen(Pay.enqueue({ n: 1 }), Effect.fail("no"))))
      yield* elapse("1 second")
      assert.deepStrictEqual(yield* heard, [])
    }).pipe(Effect.scoped, Effect.provide(app(JobEvents.layer())))
  )

  it.effect("hold a worker up when a listener does not come along, and lose nothing [LK-G8]", () =>
    Effect.gen(function* () {
      const { stream } = yield* JobEvents
      const store = yield* Store
      const heard = yield* Ref.make(0)
      const listener = yield* Effect.forkScoped(
        Stream.runForEach(stream, (event) =>
          Effect.andThen(
            Effect.sleep("1 second"),
            Ref.update(heard, (n) => (sentence(event).endsWith("Completed") ? n + 1 : n))
          )
        )
      )
      yield* TestClock.adjust(0)
      yield* store.enqueue(
        Array.from({ length: 200 }, (_, n) => ({ kind: "pay", queue: "default", priority: 5, payload: { n } }))
      )
      yield* elapse("10 seconds")
      assert.isAbove((yield* store.page({ place: "ready", limit: 1_000 })).length, 100)
      yield* elapse("400 seconds")
      assert.strictEqual((yield* store.page({ place: "completed", limit: 1_000 })).length, 200)
      yield* elapse("100 seconds")
      assert.strictEqual(yield* Ref.get(heard), 200)
      yield* Fiber.interrupt(listener)
    }).pipe(Effect.scoped, Effect.provide(app(JobEvents.layer({ buffer: 8 }), 2)))
  )

  it.effect("of each attempt are written for others where the kind asks for it [LK-G8]", () =>
    Effect.gen(function* () {
      const Loud = Job.make("loud", { payload: {}, events: true })
      yield* Effect.gen(function* () {
        const { id } = yield* Loud.enqueue({})
        yield* elapse("5 seconds")
        const [event] = yield* Stream.runCollect(Stream.take((yield* Client).events(), 1))
        assert.deepInclude(event, { job: id, type: "completed", kind: "loud", attempt: 1 })
      }).pipe(
        Effect.provide(
          layerWorker().pipe(
            Layer.provide(Loud.handle(() => Effect.void)),
            Layer.provideMerge(Client.layer),
            Layer.provideMerge(Layer.fresh(layerMemory))
          )
        )
      )
    })
  )

  it.effect("are read from the store by whoever was not there, from any position, and go on as they come [LK-G8]", () =>
    Effect.gen(function* () {
      const client = yield* Client
      const { id: first } = yield* Pay.enqueue({ n: -1 })
      yield* elapse("5 seconds")
      const heard = yield* Ref.make<ReadonlyArray<string>>([])
      yield* Effect.forkScoped(
        Stream.runForEach(client.events(), ({ job, position, type }) =>
          Ref.update(heard, (all) => [...all, `${position} ${job} ${type}`])
        )
      )
      const { id: second } = yield* Pay.enqueue({ n: -2 })
      yield* elapse("5 seconds")
      assert.deepStrictEqual(yield* Ref.get(heard), [`1 ${first} died`, `2 ${second} died`])
      const later = yield* Stream.runCollect(Stream.take(client.events({ after: 1n }), 1))
      assert.deepStrictEqual(
        Array.from(later, ({ job }) => job),
        [second]
      )
    }).pipe(Effect.scoped, Effect.provide(app()))
  )
})
