/** What every store lets go of, and keeps. */
import { assert } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { Uniqueness } from "../../src/store/Store.ts"
import type { Test } from "./suite.ts"
import { completed, hours, job } from "./suiteWorld.ts"

const days = Duration.days

export const upkeep = (test: Test): void => {
  test("retire: lets go of the dead after 30 days, in batches, and of nothing that lives [LK-D3]", (world) =>
    Effect.gen(function* () {
      const { dead, elapse, enqueue, isAt, running, store, waiting } = world
      const old = [yield* dead(), yield* dead(), yield* dead()]
      const wait = yield* waiting("token")
      const runs = yield* running()
      const [ready] = yield* enqueue({ queue: "other" })
      const [later] = yield* enqueue({ runIn: days(90) })
      yield* elapse(days(29))
      const young = yield* dead()
      assert.deepInclude(yield* store.retire({ limit: 10 }), { dead: 0 })
      yield* elapse(days(2))
      assert.deepInclude(yield* store.retire({ limit: 2 }), { dead: 2 })
      assert.deepInclude(yield* store.retire({ limit: 2 }), { dead: 1 })
      assert.deepInclude(yield* store.retire({ limit: 2 }), { dead: 0 })
      for (const id of old) assert.notDeepEqual(yield* store.place(id), Option.some("dead"))
      yield* isAt("dead", young)
      yield* isAt("waiting", wait)
      yield* isAt("running", runs.id)
      yield* isAt("ready", ready!)
      yield* isAt("scheduled", later!)
    }))

  test("retire: lets go of keys whose job is gone, and of no other [LK-D3]", ({ elapse, isAt, store }) =>
    Effect.gen(function* () {
      const unique = (key: string): Uniqueness => ({ by: { key }, places: ["ready", "dead"], onConflict: "keep" })
      const [gone, stays] = yield* store.enqueueUnique([
        { ...job(), unique: unique("gone") },
        { ...job(), unique: unique("stays") }
      ])
      yield* store.setAside(gone!.id, "not wanted")
      assert.isTrue(yield* store.purge(gone!.id))
      yield* elapse(days(2))
      yield* store.retire({ limit: 10 })
      yield* isAt("ready", stays!.id)
      const [again, kept] = yield* store.enqueueUnique([
        { ...job(), unique: unique("gone") },
        { ...job(), unique: unique("stays") }
      ])
      assert.strictEqual(again!.outcome, "enqueued")
      assert.deepInclude(kept!, { id: stays!.id, outcome: "kept" })
      assert.deepInclude(yield* store.retire({ limit: 10 }), { keys: 0 })
    }))

  test("trimWorkers: forgets whoever was declared dead long ago and holds nothing [LK-D10]", (world) =>
    Effect.gen(function* () {
      const { declareDead, elapse, running, store } = world
      const alive = yield* store.register("alive")
      const dead = yield* store.register("dead")
      const holder = yield* running()
      yield* declareDead(dead)
      yield* declareDead(holder.worker)
      assert.strictEqual(yield* store.trimWorkers({ after: hours(1), limit: 10 }), 0)
      yield* elapse(hours(2))
      const justDead = yield* store.register("just dead")
      yield* declareDead(justDead)
      assert.strictEqual(yield* store.trimWorkers({ after: hours(1), limit: 10 }), 1)
      const left = (yield* store.workers).map(({ id }) => id)
      assert.sameMembers(left, [alive, holder.worker, justDead])
    }))
}

export const presence = (test: Test): void => {
  test("processes: who is there, what each is, and who of them leads [LK-D10]", ({ declareDead, store }) =>
    Effect.gen(function* () {
      const about = { role: "maintenance", version: "1.2.3", holder: "here:1", lanes: ["promote"] } as const
      const nothing = { kinds: [], queues: [] }
      yield* store.register("here:1", nothing, about)
      yield* store.register(
        "there",
        { kinds: ["mail"], queues: ["post"] },
        { ...about, role: "worker", holder: "there:2" }
      )
      yield* store.register("silent")
      const term = yield* store.takeLead({ holder: "there:2", lease: hours(1) })
      const told = Effect.map(store.processes, (rows) =>
        rows.map(({ declaredDead, lanes, leads, name, role, version }) => [
          name,
          role,
          Option.getOrNull(version),
          lanes.length,
          leads,
          declaredDead
        ])
      )
      assert.deepStrictEqual(yield* told, [
        ["here:1", "maintenance", "1.2.3", 1, false, false],
        ["there", "worker", "1.2.3", 1, true, false],
        ["silent", "worker", null, 0, false, false]
      ])
      assert.deepStrictEqual(
        (yield* store.workers).map(({ name }) => name),
        ["there", "silent"]
      )
      yield* declareDead((yield* store.workers)[0]!.id)
      assert.deepStrictEqual((yield* told)[1], ["there", "worker", "1.2.3", 1, false, true])
      yield* store.resign(Option.getOrThrow(term))
    }))
}

export const figures = (test: Test): void => {
  test("takeStats: counts by queue and place, and what came and went since the last count [LK-D4]", (world) =>
    Effect.gen(function* () {
      const { claim, dead, elapse, enqueue, finish, register, running, store, waiting } = world
      assert.deepStrictEqual(yield* store.stats, Option.none())
      yield* dead()
      yield* waiting("token")
      yield* running()
      yield* enqueue({ runIn: hours(1) }, { queue: "other" })
      yield* elapse("90 seconds")
      yield* enqueue({}, {}, { queue: "other" })
      assert.isTrue(yield* store.takeStats)
      const first = Option.getOrThrow(yield* store.stats)
      assert.deepStrictEqual(first.over, Option.none())
      assert.deepStrictEqual(
        first.queues.map(({ depth, enqueued, finished, queue }) => ({ queue, ...depth, enqueued, finished })),
        [
          { queue: "other", ready: 2, scheduled: 0, waiting: 0, running: 0, dead: 0, enqueued: 0, finished: 0 },
          { queue: "post", ready: 2, scheduled: 1, waiting: 1, running: 1, dead: 1, enqueued: 0, finished: 0 }
        ]
      )
      assert.strictEqual(Math.floor(Duration.toSeconds(Option.getOrThrow(first.queues[0]!.oldest)) / 90), 1)

      yield* elapse("15 seconds")
      yield* enqueue({}, {}, {}, { queue: "third" })
      const worker = yield* register
      const { jobs } = yield* claim(worker, 4)
      for (const one of jobs.slice(0, 3)) yield* finish(worker, one, completed)
      assert.isTrue(yield* store.takeStats)
      const second = Option.getOrThrow(yield* store.stats)
      assert.strictEqual(Math.round(Duration.toSeconds(Option.getOrThrow(second.over)) / 15), 1)
      assert.deepStrictEqual(
        second.queues.map(({ depth, enqueued, finished, queue }) => [
          queue,
          depth.ready,
          depth.running,
          enqueued,
          finished
        ]),
        [
          ["other", 2, 0, 0, 0],
          ["post", 1, 2, 3, 3],
          ["third", 1, 0, 1, 0]
        ]
      )
      yield* elapse("1 minute")
      assert.isAtLeast(Duration.toSeconds(Option.getOrThrow(yield* store.stats).age), 60)
    }))

  test("takeStats: is taken once when two count at once [LK-D4]", ({ enqueue, store }) =>
    Effect.gen(function* () {
      yield* store.takeStats
      yield* enqueue({}, {})
      yield* Effect.all([store.takeStats, store.takeStats], { concurrency: 2 })
      const { queues } = Option.getOrThrow(yield* store.stats)
      assert.deepInclude(queues[0]!.depth, { ready: 2 })
      assert.strictEqual(queues[0]!.finished, 0)
    }))

  test("lift: raises what has waited, by a level for each step, before what is younger there [LK-D5]", (world) =>
    Effect.gen(function* () {
      const { claimedIds, elapse, enqueue, register, store } = world
      const lift = store.lift({ step: Duration.minutes(1), limit: 100 })
      const [low] = yield* enqueue({ priority: 9 })
      yield* elapse("59 seconds")
      const [high] = yield* enqueue({ priority: 3 })
      assert.strictEqual(yield* lift, 0)
      yield* elapse("2 seconds")
      assert.strictEqual(yield* lift, 1)
      assert.strictEqual(yield* lift, 0)
      assert.strictEqual((yield* world.show(low!)).priority, 8)
      yield* elapse("5 minutes")
      const [young] = yield* enqueue({ priority: 3 })
      assert.strictEqual(yield* lift, 1)
      assert.strictEqual((yield* world.show(low!)).priority, 3)
      assert.deepStrictEqual(yield* claimedIds(yield* register), [low, high, young])
    }))

  test("lift: raises a fresh job that stands behind those of its priority that come back again and again [LK-D5]", (world) =>
    Effect.gen(function* () {
      const { claimedIds, elapse, enqueue, register, store } = world
      const lift = store.lift({ step: Duration.minutes(1), limit: 100 })
      const [fresh] = yield* enqueue({ priority: 5 })
      yield* elapse("6 minutes")
      const [polls] = yield* enqueue({ priority: 5, runIn: Duration.hours(1) })
      yield* store.runNow(polls!)
      assert.strictEqual(yield* lift, 1)
      assert.deepStrictEqual(yield* claimedIds(yield* register), [fresh, polls])
    }))

  test("lift: leaves what nothing better is in the way of, and what is paused [LK-D5]", ({ elapse, enqueue, store }) =>
    Effect.gen(function* () {
      yield* enqueue({ priority: 9 }, { priority: 9, queue: "paused" }, { priority: 0, queue: "paused" })
      yield* enqueue({ priority: 0, queue: "another" })
      yield* store.pause("paused")
      yield* elapse("1 hour")
      assert.strictEqual(yield* store.lift({ step: Duration.minutes(1), limit: 100 }), 0)
    }))
}
