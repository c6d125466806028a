/** How events reach the sink an application supplies, over each store. */
import { assert, describe } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Latch from "effect/Latch"
import type { Event } from "../../src/domain/Event.ts"
import type { JobId } from "../../src/domain/Job.ts"
import { type EventsOptions, layerSink } from "../../src/Events.ts"
import { runOnce } from "../../src/lanes/Lane.ts"
import { outbox, outboxAtStart } from "../../src/lanes/outbox.ts"
import { hours, makeWorld, type World } from "../store/suiteWorld.ts"
import type { LanesUnderTest } from "./suite.ts"

/** Remembers what it took, and refuses what it is told to. */
const makeSink = (refuses: (job: JobId) => boolean = () => false) => {
  const calls: Array<ReadonlyArray<Event>> = []
  const deliver: EventsOptions["deliver"] = (events) =>
    Effect.suspend(() => {
      calls.push(events)
      return events.some(({ job }) => refuses(job)) ? Effect.fail("it is full") : Effect.void
    })
  return { calls, deliver, jobs: () => calls.map((events) => events.map(({ job }) => job)) }
}

const run = (deliver: EventsOptions["deliver"], differs: Partial<EventsOptions> = {}) =>
  Effect.provide(runOnce(outbox), layerSink({ deliver, ...differs }))

const deaths = (world: World, count: number) => Effect.forEach(Array.from({ length: count }), () => world.dead())

export const outboxSuite = <R>({ elapse, empty, it }: LanesUnderTest<R>): void => {
  const test = (sentence: string, body: (world: World) => Effect.Effect<void, unknown, any>) =>
    it(sentence, () =>
      Effect.gen(function* () {
        const context = yield* Effect.context<R>()
        yield* body(makeWorld(yield* empty, (time) => Effect.provideContext(elapse(time), context)))
      })
    )

  describe("outbox", () => {
    test("delivers each event once, in their order, and nothing when there is nothing new [LK-D8]", (world) =>
      Effect.gen(function* () {
        const { calls, deliver, jobs } = makeSink()
        const ids = yield* deaths(world, 3)
        assert.deepInclude(yield* run(deliver), { rows: { numbered: 3, delivered: 3 }, error: null })
        assert.deepStrictEqual(jobs(), [ids])
        assert.deepStrictEqual(
          calls[0]!.map(({ position }) => position),
          [1n, 2n, 3n]
        )
        assert.deepInclude(yield* run(deliver), { rows: {} })
        assert.lengthOf(calls, 1)
      }))

    test("keeps events for readers where there is no sink, until they have passed their retention [LK-D8, LK-D3]", (world) =>
      Effect.gen(function* () {
        yield* deaths(world, 2)
        assert.deepInclude(yield* runOnce(outbox), { rows: { numbered: 2 } })
        yield* world.elapse(hours(23))
        assert.deepInclude(yield* runOnce(outbox), { rows: {} })
        assert.lengthOf(yield* world.store.events({ after: 0n, limit: 9 }), 2)
        yield* world.elapse(hours(2))
        assert.deepInclude(yield* runOnce(outbox), { rows: { forgotten: 2 } })
      }))

    test("does not forget what a sink has not taken yet, however old [LK-D8]", (world) =>
      Effect.gen(function* () {
        const [id] = yield* deaths(world, 1)
        assert.include((yield* run(makeSink(() => true).deliver, { keep: "1 hour" })).error!, "it is full")
        yield* world.elapse(hours(30))
        const { deliver, jobs } = makeSink()
        assert.deepInclude(yield* run(deliver, { keep: "1 hour" }), { rows: { delivered: 1 } })
        assert.deepStrictEqual(jobs(), [[id!]])
        assert.deepInclude(yield* run(deliver, { keep: "1 hour" }), { rows: { forgotten: 1 } })
      }))

    test("delivers again, under the same id, what was taken by a process that vanished before it was acknowledged [LK-D8]", (world) =>
      Effect.gen(function* () {
        yield* deaths(world, 2)
        const taken = yield* Latch.make()
        const first = makeSink()
        const vanishing: EventsOptions["deliver"] = (events) =>
          Effect.andThen(first.deliver(events), Effect.andThen(taken.open, Effect.never))
        const fiber = yield* Effect.forkScoped(run(vanishing))
        yield* taken.await
        yield* Fiber.interrupt(fiber)
        const second = makeSink()
        assert.deepInclude(yield* run(second.deliver), { rows: {}, error: null })
        yield* world.elapse(Duration.minutes(2))
        assert.deepInclude(yield* run(second.deliver), { rows: { delivered: 2 } })
        assert.deepStrictEqual(
          second.calls[0]!.map(({ id }) => id),
          first.calls[0]!.map(({ id }) => id)
        )
      }))

    test("delivers the others when a sink refuses one, and that one after them [LK-D8, LK-B9]", (world) =>
      Effect.gen(function* () {
        const [a, bad, c] = yield* deaths(world, 3)
        let refuses = true
        const { deliver, jobs } = makeSink((job) => refuses && job === bad)
        assert.include((yield* run(deliver)).error!, "The sink of events failed: it is full")
        assert.deepStrictEqual(jobs(), [[a, bad, c], [a], [bad], [c]])
        refuses = false
        assert.deepInclude(yield* run(deliver), { rows: { delivered: 1 }, error: null })
        assert.deepStrictEqual(jobs().at(-1), [bad])
      }))

    test("lets an event that is refused again and again wait, so that no run fails for it meanwhile [LK-D8, LK-B9]", (world) =>
      Effect.gen(function* () {
        const [bad] = yield* deaths(world, 1)
        const { deliver, jobs } = makeSink((job) => job === bad)
        for (const _ of [1, 2, 3]) assert.isNotNull((yield* run(deliver)).error)
        const [next] = yield* deaths(world, 1)
        assert.deepInclude(yield* run(deliver), { rows: { numbered: 1, delivered: 1 }, error: null })
        assert.deepStrictEqual(jobs().at(-1), [next])
        yield* world.elapse("61 seconds")
        assert.isNotNull((yield* run(deliver)).error)
        assert.deepStrictEqual(jobs().at(-1), [bad])
      }))

    test("stops asking a sink that refuses one after another, and loses nothing [LK-D8]", (world) =>
      Effect.gen(function* () {
        const ids = yield* deaths(world, 6)
        const { calls, deliver } = makeSink(() => true)
        assert.isNotNull((yield* run(deliver)).error)
        assert.lengthOf(calls, 4)
        const up = makeSink()
        assert.deepInclude(yield* run(up.deliver), { rows: { delivered: 6 } })
        assert.deepStrictEqual(up.jobs().flat().toSorted(), ids.toSorted())
      }))

    test("isolates a sink that throws or dies [LK-A12]", (world) =>
      Effect.gen(function* () {
        yield* deaths(world, 1)
        const thrown = yield* run(() => {
          throw new Error("no such topic")
        })
        assert.strictEqual(thrown.error, "The sink of events failed: no such topic")
        assert.include((yield* run(() => Effect.die("odd"))).error!, "odd")
        assert.deepInclude(yield* run(makeSink().deliver), { rows: { delivered: 1 } })
      }))

    test("delivers nothing at start: a sink that is away keeps no process from starting [LK-A8]", (world) =>
      Effect.gen(function* () {
        yield* deaths(world, 1)
        const { calls, deliver } = makeSink(() => true)
        const report = yield* Effect.provide(runOnce(outboxAtStart), layerSink({ deliver }))
        assert.deepInclude(report, { rows: { numbered: 1 }, error: null })
        assert.lengthOf(calls, 0)
      }))
  })
}
