import { assert } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { type LaneRun, type Term, UnderTerm } from "../../src/store/Store.ts"
import type { Test } from "./suite.ts"
import { completed, hours, nothingMoved } from "./suiteWorld.ts"

const lease = Duration.seconds(10)
const staleAfter = Duration.seconds(30)
const budget = { limit: 100, crashBudget: 3 }

const run = (lane: string, differs: Partial<LaneRun> = {}): LaneRun => ({
  lane,
  age: Duration.zero,
  took: Duration.millis(12),
  rows: 3,
  failures: 0,
  error: null,
  ...differs
})

export const leading = (test: Test): void => {
  test("gives the lead to one at a time, and a higher term to each [LK-B1]", ({ elapse, store }) =>
    Effect.gen(function* () {
      const first = Option.getOrThrow(yield* store.takeLead({ holder: "a", lease }))
      assert.deepStrictEqual(yield* store.takeLead({ holder: "b", lease }), Option.none())
      assert.deepInclude(yield* store.leader, { term: first, holder: Option.some("a") })
      yield* elapse("6 seconds")
      assert.isTrue(yield* store.keepLead(first, lease))
      yield* elapse("6 seconds")
      assert.deepStrictEqual(yield* store.takeLead({ holder: "b", lease }), Option.none())
      yield* elapse("5 seconds")
      const second = Option.getOrThrow(yield* store.takeLead({ holder: "b", lease }))
      assert.isTrue(second > first)
      assert.isFalse(yield* store.keepLead(first, lease))
      yield* store.resign(first)
      assert.deepInclude(yield* store.leader, { term: second, holder: Option.some("b") })
      yield* store.resign(second)
      assert.deepInclude(yield* store.leader, { term: second, holder: Option.none() })
      assert.isFalse(yield* store.keepLead(second, lease))
      const third = Option.getOrThrow(yield* store.takeLead({ holder: "a", lease }))
      assert.isTrue(third > second)
    }))

  test("gives the lead to one of 8 who ask at once [LK-B1]", ({ store }) =>
    Effect.gen(function* () {
      const asked = Array.from({ length: 8 }, (_, n) => store.takeLead({ holder: `${n}`, lease }))
      const taken = (yield* Effect.all(asked, { concurrency: 8 })).filter(Option.isSome)
      assert.lengthOf(taken, 1)
    }))

  test("moves nothing under a term that is not the last [LK-B4]", (world) =>
    Effect.gen(function* () {
      const { claim, declareDead, elapse, enqueue, isAt, register, running, store, waiting } = world
      const first = Option.getOrThrow(yield* store.takeLead({ holder: "a", lease }))
      const silent = yield* running()
      yield* Effect.provideService(store.watch({ staleAfter }), UnderTerm, Option.some(first))
      yield* store.resign(first)
      const second = Option.getOrThrow(yield* store.takeLead({ holder: "b", lease }))

      const waits = yield* waiting("token", "retry")
      const [scheduled] = yield* enqueue({ runIn: hours(1) })
      yield* enqueue({ deadline: hours(1) })
      const late = (yield* claim(yield* register)).jobs[0]!.id
      yield* elapse(hours(2))
      const dead = yield* running()
      yield* declareDead(dead.worker)

      const all = Effect.gen(function* () {
        return [
          yield* store.promote(budget),
          yield* store.rescueWorker(dead.worker, budget),
          yield* store.rescueOverdue(budget),
          yield* store.expireWaits(budget)
        ]
      })
      const old = yield* Effect.provideService(all, UnderTerm, Option.some(first))
      assert.deepStrictEqual(old, [nothingMoved, nothingMoved, nothingMoved, nothingMoved])
      const watched = yield* Effect.provideService(store.watch({ staleAfter }), UnderTerm, Option.some(first))
      assert.deepStrictEqual(watched, [])
      yield* isAt("scheduled", scheduled!)
      yield* isAt("running", late, dead.id, silent.id)
      yield* isAt("waiting", waits)

      const now = yield* Effect.provideService(all, UnderTerm, Option.some(second))
      assert.deepStrictEqual(
        now.map(({ ready }) => ready),
        [1, 1, 1, 1]
      )
    }))

  test("moves without a term whoever leads [LK-B4]", ({ elapse, enqueue, store }) =>
    Effect.gen(function* () {
      yield* store.takeLead({ holder: "a", lease })
      yield* enqueue({ runIn: hours(1) })
      yield* elapse(hours(1))
      assert.strictEqual((yield* store.promote(budget)).ready, 1)
    }))

  test("keeps the last run of each lane, and not an older one that is told later [LK-B8]", ({ elapse, store }) =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* store.laneRuns, [])
      yield* store.recordRuns([run("promote"), run("cron", { failures: 2, error: "no such table" })])
      yield* elapse(hours(1))
      yield* store.recordRuns([run("promote", { rows: 5 })])
      const [cron, promote] = yield* store.laneRuns
      assert.deepInclude(cron, { lane: "cron", failures: 2, error: "no such table", took: Duration.millis(12) })
      assert.isTrue(Duration.isGreaterThanOrEqualTo(cron!.age, hours(1)))
      assert.deepInclude(promote, { lane: "promote", rows: 5 })
      assert.isTrue(Duration.isLessThan(promote!.age, hours(1)))
    }))

  test("tells how long the oldest thing has been due [LK-B8]", ({ dead, elapse, enqueue, running, store, waiting }) =>
    Effect.gen(function* () {
      const none = { scheduled: Duration.zero, deadline: Duration.zero, waiting: Duration.zero }
      yield* enqueue({ runIn: hours(1) }, { runIn: hours(2) })
      yield* running({ deadline: hours(3) })
      yield* waiting("token") // for 2 hours
      assert.deepInclude(yield* store.overdue, none)
      yield* dead() // nobody has told of it
      yield* elapse(hours(4))
      const { deadline, scheduled, untold, waiting: waits } = yield* store.overdue
      assert.deepStrictEqual([scheduled, deadline, waits, untold].map(inHours), [3, 1, 2, 4])
      yield* store.tendEvents({ limit: 10, keep: hours(24), sink: true })
      assert.deepStrictEqual((yield* store.overdue).untold, Duration.zero)
    }))

  test("tells for how long a worker that holds jobs has been silent under watch [LK-B8]", (world) =>
    Effect.gen(function* () {
      const { declareDead, elapse, register, running, store } = world
      const silence = Effect.map(store.overdue, ({ silent }) => inHours(silent))
      yield* store.watch({ staleAfter })
      yield* register // it holds nothing
      const { end, worker } = yield* running()
      yield* elapse(hours(2))
      assert.strictEqual(yield* silence, 2)
      yield* declareDead(worker)
      yield* elapse(hours(1))
      assert.strictEqual(yield* silence, 3)
      // Nobody has looked for too long: what went before is no evidence.
      yield* store.watch({ staleAfter })
      assert.strictEqual(yield* silence, 0)
      yield* end(completed)
      yield* elapse(hours(1))
      assert.strictEqual(yield* silence, 0)
    }))
}

const inHours = (age: Duration.Duration) => Math.round(Duration.toHours(age) * 100) / 100

export const watching = (test: Test): void => {
  test("declares nobody dead whose silence nobody has watched [LK-C3]", ({ elapse, isAt, running, store }) =>
    Effect.gen(function* () {
      const { id } = yield* running()
      yield* elapse(hours(1))
      assert.deepStrictEqual(yield* store.watch({ staleAfter }), [])
      yield* isAt("running", id)
    }))

  test("declares a worker dead that was silent under watch for longer than the threshold [LK-C2, LK-C3]", (world) =>
    Effect.gen(function* () {
      const { elapse, running, store } = world
      yield* store.watch({ staleAfter })
      const silent = yield* running()
      const beating = yield* running()
      for (const _ of [8, 16, 24]) {
        yield* elapse("8 seconds")
        yield* store.beat(beating.worker)
        assert.deepStrictEqual(yield* store.watch({ staleAfter }), [])
      }
      yield* elapse("7 seconds")
      const [stale, ...others] = yield* store.watch({ staleAfter })
      assert.deepInclude(stale, { id: silent.worker, name: "runner" })
      assert.isTrue(Duration.isGreaterThan(stale!.beatAge, staleAfter))
      assert.deepStrictEqual(others, [])
      assert.isFalse((yield* store.beat(silent.worker)).alive)
      assert.isTrue((yield* store.beat(beating.worker)).alive)
    }))

  test("names a dead worker until nothing is held in its name [LK-C2]", ({ declareDead, running, store }) =>
    Effect.gen(function* () {
      const { worker } = yield* running()
      yield* declareDead(worker)
      for (const _ of [1, 2]) {
        const named = (yield* store.watch({ staleAfter })).map(({ id }) => id)
        assert.deepStrictEqual(named, [worker])
      }
      yield* store.rescueWorker(worker, budget)
      assert.deepStrictEqual(yield* store.watch({ staleAfter }), [])
    }))

  test("begins to watch again for all after nobody looked for half a threshold [LK-C3]", ({ elapse, running, store }) =>
    Effect.gen(function* () {
      yield* store.watch({ staleAfter })
      yield* running()
      yield* elapse("14 seconds")
      yield* store.watch({ staleAfter })
      yield* elapse("60 seconds") // the database was away for everybody
      assert.deepStrictEqual(yield* store.watch({ staleAfter }), [])
      for (const _ of [10, 20]) {
        yield* elapse("10 seconds")
        assert.deepStrictEqual(yield* store.watch({ staleAfter }), [])
      }
      yield* elapse("11 seconds")
      assert.lengthOf(yield* store.watch({ staleAfter }), 1)
    }))

  test("goes on watching when the one who looks changes [LK-C3]", ({ elapse, running, store }) =>
    Effect.gen(function* () {
      yield* running()
      let term: Option.Option<Term> = Option.none()
      for (const holder of ["a", "b", "c", "d"]) {
        if (Option.isSome(term)) yield* store.resign(term.value)
        term = yield* store.takeLead({ holder, lease })
        assert.deepStrictEqual(
          yield* Effect.provideService(store.watch({ staleAfter }), UnderTerm, term),
          [],
          `${holder} looks`
        )
        yield* elapse("8 seconds")
      }
      assert.lengthOf(yield* store.watch({ staleAfter }), 1)
    }))
}
