import { assert } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { Event, FollowUp } from "../../src/domain/Event.ts"
import { UnderTerm } from "../../src/store/Store.ts"
import type { Test } from "./suite.ts"
import { completed, died, endOf, hours, retried } from "./suiteWorld.ts"
import type { World } from "./suiteWorld.ts"

const budget = { limit: 100, crashBudget: 1 }
const tending = { limit: 100, keep: hours(24), sink: true }
const taking = { limit: 100, stuckAfter: Duration.minutes(1) }

const alarm: FollowUp = { kind: "alarm", queue: "alarms", priority: 2 }

const toldOf = ({ store }: World) =>
  Effect.andThen(store.tendEvents(tending), store.events({ after: 0n, limit: 1_000 }))

const short = ({ attempt, details, job, type }: Event): object => ({ type, job, attempt, ...details })

const alarms = Effect.fnUntraced(function* ({ store }: World) {
  const worker = yield* store.register("alarms")
  const { jobs } = yield* store.claim({ worker, kinds: ["alarm"], queues: [{ queue: "alarms", limit: 100 }] })
  return jobs
})

const crash = Effect.fnUntraced(function* (world: World, limit = 100) {
  const worker = yield* world.register
  const { jobs } = yield* world.claim(worker, limit)
  yield* world.declareDead(worker)
  return { worker, jobs, moved: yield* world.store.rescueWorker(worker, budget) }
})

export const events = (test: Test): void => {
  test("tells of a rescue: the job, the worker it was taken from, for how long that was silent, and the count [LK-C2, LK-C7]", (world) =>
    Effect.gen(function* () {
      const [id] = yield* world.enqueue({})
      const worker = yield* world.register
      yield* world.claim(worker)
      yield* world.elapse(hours(1))
      yield* world.declareDead(worker)
      yield* world.store.rescueWorker(worker, budget)
      const [event, ...others] = yield* toldOf(world)
      assert.lengthOf(others, 0)
      assert.deepInclude(event, { type: "rescued", job: id!, attempt: 1, kind: "mail", queue: "post", position: 1n })
      const { silentMs, ...details } = event!.details
      assert.deepStrictEqual(details, { worker: String(worker), name: "worker", rescues: 1, place: "ready" })
      assert.isAtLeast(silentMs as number, 3_600_000)
    }))

  test("tells of a death by a spent crash budget after the rescue that spent it [LK-C2, LK-C7]", (world) =>
    Effect.gen(function* () {
      const [id] = yield* world.enqueue({})
      yield* crash(world)
      yield* crash(world)
      const told = yield* toldOf(world)
      assert.deepStrictEqual(
        told.map(({ attempt, details, job, type }) => [type, job, attempt, details["rescues"], details["place"]]),
        [
          ["rescued", id, 1, 1, "ready"],
          ["rescued", id, 2, 2, "dead"],
          ["died", id, 2, 2, undefined]
        ]
      )
      assert.match(String(told[2]!.details["reason"]), /^crash budget spent/)
    }))

  test("tells of every death, whatever brought it [LK-C7]", (world) =>
    Effect.gen(function* () {
      const { elapse, enqueue, running, store, waiting } = world
      const gaveUp = yield* running()
      yield* gaveUp.end(died)
      const [aside] = yield* enqueue({})
      yield* store.setAside(aside!, "it does not fit")
      const expired = yield* waiting("a")
      const outside = yield* waiting("b")
      yield* store.resume("b", { _tag: "Died", reason: "nobody answered" })
      yield* elapse(hours(2))
      yield* store.expireWaits({ limit: 10 })
      const told = (yield* toldOf(world)).map(short)
      assert.deepStrictEqual(told, [
        { type: "died", job: gaveUp.id, attempt: 1, reason: "no such address", failures: 1, rescues: 0 },
        { type: "died", job: aside!, attempt: 1, reason: "it does not fit", failures: 0, rescues: 0 },
        { type: "died", job: outside, attempt: 2, reason: "nobody answered", failures: 0, rescues: 0 },
        { type: "died", job: expired, attempt: 2, reason: "nobody ended the wait in time", failures: 0, rescues: 0 }
      ])
    }))

  test("writes nothing for a job that completes, is retried, released or cancelled [LK-C7]", (world) =>
    Effect.gen(function* () {
      const { claim, enqueue, finish, register, store } = world
      const [, , , scheduled] = yield* enqueue({}, {}, {}, { runIn: hours(1) })
      const worker = yield* register
      const [a, b, c] = (yield* claim(worker)).jobs
      yield* finish(worker, a!, completed)
      yield* finish(worker, b!, retried(hours(1)))
      yield* store.release(worker, [c!.lease])
      yield* store.cancel(scheduled!, "not wanted")
      assert.deepStrictEqual(yield* toldOf(world), [])
    }))

  test("tells of the end of an attempt that asks for it, with the end and once, and not twice of a death [LK-G8, LK-D8]", (world) =>
    Effect.gen(function* () {
      const { claim, store } = world
      const tell = { kind: "mail", queue: "post" }
      const { claimed, id, worker } = yield* world.running()
      yield* store.finish(worker, [{ ...endOf(claimed, retried(Duration.zero)), tell }])
      const [again] = (yield* claim(worker)).jobs
      const end = { ...endOf(again!, { _tag: "Completed", output: 7 } as const), tell }
      assert.deepStrictEqual(yield* store.finish(worker, [end]), ["accepted"])
      assert.deepStrictEqual(yield* store.finish(worker, [end]), ["repeated"])
      const { claimed: dying, id: dead, worker: other } = yield* world.running()
      yield* store.finish(other, [{ ...endOf(dying, died), tell }])
      assert.deepStrictEqual((yield* toldOf(world)).map(short), [
        { type: "failed", job: id, attempt: 1, ranMs: 1, error: "no route" },
        { type: "completed", job: id, attempt: 2, ranMs: 1 },
        { type: "died", job: dead, attempt: 1, reason: "no such address", failures: 1, rescues: 0 }
      ])
      assert.deepStrictEqual((yield* store.beat(worker)).leases, [])
    }))

  test("enqueues the follow-up a job was enqueued with when it dies, and only then [LK-C7]", (world) =>
    Effect.gen(function* () {
      const details = {
        trace: { traceId: "a" },
        followUps: { died: { ...alarm, deadlineMs: 60_000, details: { tags: ["urgent"] } } }
      }
      const { end, id } = yield* world.running({ details })
      yield* end(retried(Duration.zero))
      assert.deepStrictEqual(yield* alarms(world), [])
      const worker = yield* world.register
      const [again] = (yield* world.claim(worker)).jobs
      yield* world.finish(worker, again!, died)
      const [followUp, ...others] = yield* alarms(world)
      assert.lengthOf(others, 0)
      assert.deepInclude(followUp, {
        kind: "alarm",
        priority: 2,
        payload: { type: "died", job: id, kind: "mail", attempt: 2, rescues: 0, reason: "no such address" },
        details: { tags: ["urgent"], trace: { traceId: "a" } }
      })
      assert.isTrue(Option.isSome(followUp!.deadline))
    }))

  test("enqueues the follow-up of each rescue, and of the death that follows the last [LK-C7]", (world) =>
    Effect.gen(function* () {
      const followUps = { rescued: alarm, died: alarm }
      const [id] = yield* world.enqueue({ details: { followUps } }, {})
      yield* crash(world)
      yield* crash(world)
      const jobs = yield* alarms(world)
      assert.deepStrictEqual(
        jobs.map(({ payload }) => payload),
        [
          { type: "rescued", job: id, kind: "mail", attempt: 1, rescues: 1, reason: null },
          { type: "rescued", job: id, kind: "mail", attempt: 2, rescues: 2, reason: null },
          {
            type: "died",
            job: id,
            kind: "mail",
            attempt: 2,
            rescues: 2,
            reason: "crash budget spent: rescued 2 times"
          }
        ]
      )
    }))

  test("follows up a follow-up that declares one itself [LK-C7]", (world) =>
    Effect.gen(function* () {
      const details = { followUps: { died: { ...alarm, details: { followUps: { died: { ...alarm, priority: 9 } } } } } }
      yield* world.dead({ details })
      const [first] = yield* alarms(world)
      yield* world.store.setAside(first!.id, "held")
      const { store } = world
      const holder = (yield* store.workers).find(({ name }) => name === "alarms")!
      yield* world.finish(holder.id, first!, died)
      const [second] = yield* alarms(world)
      assert.deepInclude(second!.payload as object, { kind: "alarm", job: first!.id })
      assert.strictEqual(second!.priority, 9)
    }))

  test("lets a job die whose follow-up nobody can read, and tells of it [LK-C7]", (world) =>
    Effect.gen(function* () {
      const unreadable = [
        { died: 7 },
        { died: { queue: "alarms", priority: 2 } },
        { died: { ...alarm, kind: "" } },
        { died: { ...alarm, priority: 12 } },
        { died: { ...alarm, deadlineMs: -1 } },
        "nonsense"
      ]
      const ids = yield* Effect.forEach(unreadable, (followUps) => world.dead({ details: { followUps } }))
      yield* world.isAt("dead", ...ids)
      assert.deepStrictEqual(yield* alarms(world), [])
      assert.deepStrictEqual(
        (yield* toldOf(world)).map(({ job }) => job),
        ids
      )
    }))

  test("gives positions without gaps, once each, from 8 callers at once [LK-D8]", (world) =>
    Effect.gen(function* () {
      const { claim, enqueue, register, store } = world
      yield* enqueue(...Array.from({ length: 100 }, () => ({})))
      const worker = yield* register
      yield* claim(worker, 100)
      yield* world.declareDead(worker)
      yield* store.rescueWorker(worker, budget)
      const tended = yield* Effect.all(
        Array.from({ length: 8 }, () => store.tendEvents({ ...tending, limit: 30 })),
        { concurrency: 8 }
      )
      const sum = tended.reduce((all, { numbered }) => all + numbered, 0)
      assert.isAtLeast(sum, 30)
      while ((yield* store.tendEvents(tending)).numbered > 0);
      assert.deepStrictEqual(
        (yield* store.events({ after: 0n, limit: 1_000 })).map(({ position }) => position),
        Array.from({ length: 100 }, (_, index) => BigInt(index + 1))
      )
      assert.lengthOf(yield* store.events({ after: 97n, limit: 2 }), 2)
    }))

  test("gives an event to one caller at a time, again when that one is stuck, and never once delivered [LK-D8]", (world) =>
    Effect.gen(function* () {
      const { elapse, store } = world
      const ids = [yield* world.dead(), yield* world.dead(), yield* world.dead()]
      assert.deepStrictEqual(yield* store.takeEvents(taking), [])
      assert.deepStrictEqual(yield* store.tendEvents(tending), { numbered: 3, forgotten: 0, undelivered: true })
      const [first] = yield* store.takeEvents({ ...taking, limit: 1 })
      assert.strictEqual(first!.job, ids[0])
      const others = yield* store.takeEvents(taking)
      assert.deepStrictEqual(
        others.map(({ job }) => job),
        ids.slice(1)
      )
      yield* store.eventsDelivered([others[0]!.id])
      yield* store.eventsRefused({ refused: others.map(({ id }) => id), untried: [] })
      assert.deepStrictEqual(
        (yield* store.takeEvents(taking)).map(({ job }) => job),
        [ids[2]]
      )
      yield* elapse(hours(1))
      const again = yield* store.takeEvents(taking)
      assert.deepStrictEqual(
        again.map(({ id }) => id),
        [first!.id, others[1]!.id]
      )
      yield* store.eventsDelivered(again.map(({ id }) => id))
      yield* elapse(hours(1))
      assert.deepStrictEqual(yield* store.takeEvents(taking), [])
      assert.isFalse((yield* store.tendEvents(tending)).undelivered)
    }))

  test("gives those that were refused after those that were not tried yet [LK-D8]", (world) =>
    Effect.gen(function* () {
      const { store } = world
      const ids = [yield* world.dead(), yield* world.dead(), yield* world.dead()]
      yield* store.tendEvents(tending)
      const take = Effect.map(store.takeEvents({ ...taking, limit: 2 }), (taken) => ({
        jobs: taken.map(({ job }) => job),
        ids: taken.map(({ id }) => id)
      }))
      const first = yield* take
      assert.deepStrictEqual(first.jobs, ids.slice(0, 2))
      yield* store.eventsRefused({ refused: first.ids.slice(0, 1), untried: first.ids.slice(1) })
      const second = yield* take
      assert.deepStrictEqual(second.jobs, ids.slice(1))
      assert.deepStrictEqual((yield* take).jobs, ids.slice(0, 1))
    }))

  test("forgets events past their retention, and keeps those to deliver for as long as somebody could [LK-D3, LK-D8]", (world) =>
    Effect.gen(function* () {
      const { elapse, store } = world
      yield* world.dead()
      yield* world.dead()
      yield* store.tendEvents(tending)
      const [one] = yield* store.takeEvents({ ...taking, limit: 1 })
      yield* store.eventsDelivered([one!.id])
      yield* elapse(hours(23))
      assert.strictEqual((yield* store.tendEvents(tending)).forgotten, 0)
      yield* elapse(hours(2))
      yield* world.dead()
      assert.strictEqual((yield* store.tendEvents(tending)).forgotten, 1)
      // Here is nowhere to deliver it to, but elsewhere there was lately.
      const nowhere = { ...tending, sink: false }
      assert.strictEqual((yield* store.tendEvents(nowhere)).forgotten, 0)
      yield* elapse(hours(23))
      assert.strictEqual((yield* store.tendEvents(nowhere)).forgotten, 0)
      assert.deepStrictEqual(
        (yield* store.events({ after: 0n, limit: 10 })).map(({ position }) => position),
        [2n, 3n]
      )
      yield* elapse(hours(2))
      assert.strictEqual((yield* store.tendEvents(nowhere)).forgotten, 2)
    }))

  test("numbers, takes and forgets nothing under a term that is over [LK-B4]", (world) =>
    Effect.gen(function* () {
      const { store } = world
      const take = Effect.map(store.takeLead({ holder: "one", lease: hours(1) }), Option.getOrThrow)
      const former = yield* take
      yield* store.resign(former)
      yield* take
      yield* world.dead()
      const late = <A, E>(effect: Effect.Effect<A, E>) => Effect.provideService(effect, UnderTerm, Option.some(former))
      assert.strictEqual((yield* late(store.tendEvents(tending))).numbered, 0)
      assert.strictEqual((yield* store.tendEvents(tending)).numbered, 1)
      assert.deepStrictEqual(yield* late(store.takeEvents(taking)), [])
    }))
}
