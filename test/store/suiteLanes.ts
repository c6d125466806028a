import { assert } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { Test } from "./suite.ts"
import { completed, died, hours, nothingMoved, noSuchJob, parked, released, retried } from "./suiteWorld.ts"

const budget = { limit: 100, crashBudget: 3 }

export const lanes = (test: Test): void => {
  test("promotes what is due, once, the longest due first, and names the queues to wake [LK-C1]", (world) =>
    Effect.gen(function* () {
      const { claimedIds, elapse, enqueue, isAt, register, store } = world
      const [a, b, c, later, d] = yield* enqueue(
        { runIn: hours(2) },
        { runIn: hours(1) },
        { runIn: hours(2) },
        { runIn: hours(9) },
        { runIn: hours(2), queue: "bulk" }
      )
      assert.deepStrictEqual(yield* store.promote(budget), nothingMoved)
      yield* elapse(hours(2))
      assert.deepStrictEqual(yield* store.promote({ limit: 1 }), { ...nothingMoved, ready: 1, queues: ["post"] })
      yield* isAt("ready", b!)
      assert.deepStrictEqual(yield* store.promote(budget), { ...nothingMoved, ready: 3, queues: ["bulk", "post"] })
      assert.deepStrictEqual(yield* store.promote(budget), nothingMoved)
      yield* isAt("scheduled", later!)
      yield* isAt("ready", a!, b!, c!, d!)
      assert.deepStrictEqual(yield* claimedIds(yield* register), [b, a, c])
    }))

  test("promotes retries and snoozes like what was enqueued with a time [LK-C1]", (world) =>
    Effect.gen(function* () {
      const { elapse, isAt, running, store } = world
      const retry = yield* running()
      yield* retry.end(retried(hours(1)))
      const snooze = yield* running()
      yield* snooze.end({ _tag: "Snoozed", for: hours(1) })
      yield* elapse(hours(1))
      assert.strictEqual((yield* store.promote(budget)).ready, 2)
      yield* isAt("ready", retry.id, snooze.id)
    }))

  test("promotes each of 200 due jobs once, from 8 callers at once [LK-B4]", ({ elapse, enqueue, store }) =>
    Effect.gen(function* () {
      yield* enqueue(...Array.from({ length: 200 }, () => ({ runIn: hours(1) })))
      yield* elapse(hours(1))
      const drain = Effect.gen(function* () {
        let moved = 0
        for (;;) {
          const { ready } = yield* store.promote({ limit: 30 })
          if (ready === 0) return moved
          moved += ready
        }
      })
      const counts = yield* Effect.all(
        Array.from({ length: 8 }, () => drain),
        { concurrency: 8 }
      )
      assert.strictEqual(
        counts.reduce((a, b) => a + b),
        200
      )
      assert.lengthOf(yield* store.page({ place: "ready", limit: 300 }), 200)
    }))

  test("rescues what a worker declared dead still holds, and nothing before [LK-C2]", (world) =>
    Effect.gen(function* () {
      const { claimed, end, id, worker } = yield* world.running()
      assert.deepStrictEqual(yield* world.store.rescueWorker(worker, budget), nothingMoved)
      yield* world.declareDead(worker)
      const moved = yield* world.store.rescueWorker(worker, budget)
      assert.deepStrictEqual(moved, { ...nothingMoved, ready: 1, queues: ["post"] })
      assert.deepInclude(yield* world.show(id), { place: "ready", attempt: 1, failures: 0, crashes: 1 })
      const [line] = (yield* world.show(id)).history
      assert.deepInclude(line, { attempt: 1, state: "rescued", worker: Option.some(worker) })
      assert.strictEqual(yield* end(completed), "refused")
      assert.deepStrictEqual(yield* world.store.rescueWorker(worker, budget), nothingMoved)
      const [again] = (yield* world.claim(yield* world.register)).jobs
      assert.deepInclude(again, { id, attempt: 2, crashes: 1 })
      assert.notStrictEqual(again!.lease, claimed.lease)
    }))

  test("takes the outcome of a worker declared dead until its job is rescued [LK-G1]", ({
    declareDead,
    isAt,
    running
  }) =>
    Effect.gen(function* () {
      const { end, id, worker } = yield* running()
      yield* declareDead(worker)
      assert.strictEqual(yield* end(completed), "accepted")
      yield* isAt("completed", id)
    }))

  test("never brings back a job that ended under a lease others still share [LK-C2]", (world) =>
    Effect.gen(function* () {
      const { claim, declareDead, enqueue, finish, isAt, register, store } = world
      const worker = yield* register
      yield* enqueue({}, {}, {}, {})
      const [done, dead, scheduled, open] = (yield* claim(worker)).jobs
      yield* finish(worker, done!, completed)
      yield* finish(worker, dead!, died)
      yield* finish(worker, scheduled!, retried(hours(1)))
      yield* declareDead(worker)
      assert.strictEqual((yield* store.rescueWorker(worker, budget)).ready, 1)
      yield* isAt("completed", done!.id)
      yield* isAt("dead", dead!.id)
      yield* isAt("scheduled", scheduled!.id)
      yield* isAt("ready", open!.id)
    }))

  test("rescues as often as the crash budget says; one more and the job is dead [LK-C2]", (world) =>
    Effect.gen(function* () {
      const { claim, declareDead, enqueue, isAt, register, show, store } = world
      const [id] = yield* enqueue({})
      for (const crashes of [1, 2, 3]) {
        yield* isAt("ready", id!)
        const worker = yield* register
        yield* claim(worker)
        yield* declareDead(worker)
        const moved = yield* store.rescueWorker(worker, { limit: 10, crashBudget: 2 })
        assert.deepInclude(moved, crashes <= 2 ? { ready: 1, dead: 0 } : { ready: 0, dead: 1, queues: [] })
        assert.deepInclude(yield* show(id!), { crashes, failures: 0 })
      }
      yield* isAt("dead", id!)
      const last = (yield* show(id!)).history.at(-1)!
      assert.strictEqual(last.state, "rescued")
      assert.match(last.reason!, /^crash budget spent/)
    }))

  test("rescues the oldest leases first, whole leases at a time, and queues their jobs in that order", (world) =>
    Effect.gen(function* () {
      const { claim, claimedIds, declareDead, enqueue, register, store } = world
      const worker = yield* register
      const first = yield* enqueue({}, {})
      yield* claim(worker)
      const second = yield* enqueue({}, {})
      yield* claim(worker)
      yield* declareDead(worker)
      assert.strictEqual((yield* store.rescueWorker(worker, { limit: 1, crashBudget: 3 })).ready, 2)
      assert.deepStrictEqual(yield* claimedIds(yield* register), first)
      assert.strictEqual((yield* store.rescueWorker(worker, { limit: 1, crashBudget: 3 })).ready, 2)
      assert.deepStrictEqual(yield* claimedIds(yield* register), second)
    }))

  test("rescues each job once, from 8 callers at once [LK-B4]", ({ claim, declareDead, register, store, enqueue }) =>
    Effect.gen(function* () {
      const worker = yield* register
      for (let n = 0; n < 20; n++) {
        yield* enqueue({}, {}, {})
        yield* claim(worker, 3)
      }
      yield* declareDead(worker)
      const drain = Effect.gen(function* () {
        let moved = 0
        for (;;) {
          const { ready } = yield* store.rescueWorker(worker, { limit: 3, crashBudget: 3 })
          if (ready === 0) return moved
          moved += ready
        }
      })
      const counts = yield* Effect.all(
        Array.from({ length: 8 }, () => drain),
        { concurrency: 8 }
      )
      assert.strictEqual(
        counts.reduce((a, b) => a + b),
        60
      )
      const ready = yield* store.page({ place: "ready", limit: 100 })
      assert.lengthOf(ready, 60)
      assert.isTrue(ready.every(({ crashes, history }) => crashes === 1 && history.length === 1))
    }))

  test("rescues an attempt past its hard deadline although its worker is healthy [LK-C4]", (world) =>
    Effect.gen(function* () {
      const { beat, rescueOverdue } = world.store
      const late = yield* world.running({ deadline: hours(1) })
      const slow = yield* world.running({ deadline: hours(9) })
      const free = yield* world.running()
      assert.deepStrictEqual(yield* rescueOverdue(budget), nothingMoved)
      yield* world.elapse(hours(2))
      assert.deepStrictEqual((yield* beat(late.worker)).leases, [late.claimed.lease])
      assert.deepStrictEqual(yield* rescueOverdue(budget), { ...nothingMoved, ready: 1, queues: ["post"] })
      assert.deepInclude(yield* world.show(late.id), { place: "ready", crashes: 1 })
      yield* world.isAt("running", slow.id, free.id)
      assert.deepStrictEqual((yield* beat(late.worker)).leases, [])
      assert.strictEqual(yield* late.end(completed), "refused")
    }))

  test("counts a hard deadline from the claim, however long the job was ready [LK-C4]", (world) =>
    Effect.gen(function* () {
      const { claim, elapse, enqueue, isAt, register, store } = world
      const [id] = yield* enqueue({ deadline: hours(1) })
      yield* elapse(hours(3))
      yield* claim(yield* register)
      assert.deepStrictEqual(yield* store.rescueOverdue(budget), nothingMoved)
      yield* isAt("running", id!)
    }))

  test("rescues the longest overdue first, and to the dead when the budget is spent [LK-C4]", (world) =>
    Effect.gen(function* () {
      const { elapse, isAt, running, store } = world
      const first = yield* running({ deadline: hours(2) })
      const second = yield* running({ deadline: hours(1) })
      yield* elapse(hours(3))
      const spent = { limit: 1, crashBudget: 0 }
      assert.deepStrictEqual(yield* store.rescueOverdue(spent), { ...nothingMoved, dead: 1 })
      yield* isAt("dead", second.id)
      yield* isAt("running", first.id)
      assert.deepStrictEqual(yield* store.rescueOverdue(spent), { ...nothingMoved, dead: 1 })
    }))

  test("releases leases a worker does not hold, unpaid, and only its own [LK-C9]", (world) =>
    Effect.gen(function* () {
      const { claim, enqueue, finish, register, running, show, store, told } = world
      const other = yield* running()
      const worker = yield* register
      yield* enqueue({}, {})
      const [a, b] = (yield* claim(worker)).jobs
      yield* finish(worker, a!, completed)
      const moved = yield* store.release(worker, [a!.lease, other.claimed.lease])
      assert.deepStrictEqual(moved, { ...nothingMoved, ready: 1, queues: ["post"] })
      assert.deepInclude(yield* show(b!.id), { place: "ready", failures: 0, crashes: 0 })
      assert.deepStrictEqual(yield* told(b!.id), ["1 released"])
      assert.deepStrictEqual(yield* store.release(worker, [a!.lease]), nothingMoved)
      assert.strictEqual(yield* other.end(completed), "accepted")
    }))

  test("ends a wait that nobody ended in time by the policy it was parked with [LK-C5]", (world) =>
    Effect.gen(function* () {
      const { elapse, isAt, store, told, waiting } = world
      const retry = yield* waiting("a", "retry")
      const die = yield* waiting("b", "die")
      const cancel = yield* waiting("c", "cancel")
      assert.deepStrictEqual(yield* store.expireWaits(budget), nothingMoved)
      yield* elapse(hours(2))
      const moved = yield* store.expireWaits(budget)
      assert.deepStrictEqual(moved, { ready: 1, scheduled: 0, dead: 1, cancelled: 1, queues: ["post"] })
      yield* isAt("ready", retry)
      yield* isAt("dead", die)
      yield* isAt("cancelled", cancel)
      assert.deepStrictEqual(yield* told(die), ["1 parked", "2 expired: nobody ended the wait in time"])
      assert.deepStrictEqual(yield* store.resume("b", { _tag: "Completed" }), noSuchJob)
      assert.deepStrictEqual(yield* store.expireWaits(budget), nothingMoved)
    }))

  test("ends the waits longest expired first [LK-C5]", ({ elapse, isAt, running, store }) =>
    Effect.gen(function* () {
      const long = yield* running()
      yield* long.end({ _tag: "Parked", token: "long", expiresIn: hours(2), onExpiry: "cancel" })
      const short = yield* running()
      yield* short.end({ _tag: "Parked", token: "short", expiresIn: hours(1), onExpiry: "cancel" })
      yield* elapse(hours(2))
      assert.deepStrictEqual(yield* store.expireWaits({ limit: 1 }), { ...nothingMoved, cancelled: 1 })
      yield* isAt("cancelled", short.id)
      yield* isAt("waiting", long.id)
    }))

  test("gives a wait to one of a resume and an expiry that meet [LK-C5]", ({ elapse, store, told, waiting }) =>
    Effect.gen(function* () {
      for (let n = 0; n < 10; n++) {
        const id = yield* waiting(`token ${n}`, "cancel")
        yield* elapse(hours(2))
        const [resumed, expired] = yield* Effect.all(
          [store.resume(`token ${n}`, { _tag: "Completed" }), store.expireWaits(budget)],
          { concurrency: 2 }
        )
        assert.strictEqual(Number(resumed.moved) + expired.cancelled, 1)
        assert.lengthOf(yield* told(id), 2)
      }
    }))

  test("cancels instead of bringing back a running job somebody wants cancelled [LK-G5]", (world) =>
    Effect.gen(function* () {
      const { declareDead, elapse, isAt, running, show, store, told } = world
      const ways = {
        rescued: Effect.fnUntraced(function* ({ worker }: { readonly worker: typeof first.worker }) {
          yield* declareDead(worker)
          return yield* store.rescueWorker(worker, { limit: 1, crashBudget: 0 })
        }),
        released: ({ claimed, worker }: Pick<typeof first, "claimed" | "worker">) =>
          store.release(worker, [claimed.lease]),
        overdue: () => Effect.andThen(elapse(hours(2)), store.rescueOverdue(budget))
      }
      const first = yield* running({ deadline: Duration.hours(1) })
      const second = yield* running({ deadline: Duration.hours(1) })
      const third = yield* running({ deadline: Duration.hours(1) })
      for (const { id } of [first, second, third]) yield* store.cancel(id, "not wanted")
      for (const moved of [yield* ways.rescued(first), yield* ways.released(second), yield* ways.overdue()]) {
        assert.deepStrictEqual(moved, { ...nothingMoved, cancelled: 1 })
      }
      yield* isAt("cancelled", first.id, second.id, third.id)
      assert.deepStrictEqual(yield* told(first.id), ["1 rescued: not wanted"])
      assert.deepStrictEqual(yield* told(second.id), ["1 released: not wanted"])
      assert.strictEqual((yield* show(first.id)).crashes, 1)
      assert.strictEqual(yield* first.end(released), "refused")
      assert.strictEqual(yield* second.end(parked("late")), "refused")
    }))
}
