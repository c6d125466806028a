import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { WorkerId } from "../../src/store/Store.ts"
import type { Test } from "./suite.ts"
import { completed, released } from "./suiteWorld.ts"

const stranger = 9_999n as WorkerId

export const workers = (test: Test): void => {
  test("gives nothing out of a paused queue, whoever claims, until it is unpaused [LK-I1]", (world) =>
    Effect.gen(function* () {
      const { claim, claimedIds, enqueue, register, store } = world
      const ids = yield* enqueue({}, {})
      const others = yield* enqueue({ queue: "bulk" })
      yield* store.pause("post")
      yield* store.pause("post")
      yield* store.pause("idle")
      assert.deepStrictEqual(yield* store.pausedQueues, ["idle", "post"])
      for (const worker of [yield* register, yield* register]) {
        assert.deepStrictEqual(yield* claim(worker), { jobs: [], found: "empty" })
      }
      const worker = yield* register
      const queues = ["post", "bulk"].map((queue) => ({ queue, limit: 1 }))
      const found = yield* store.claim({ worker, kinds: ["mail"], queues })
      assert.deepStrictEqual(
        found.jobs.map(({ id }) => id),
        others
      )
      assert.strictEqual(found.found, "short")
      yield* store.unpause("post")
      yield* store.unpause("never paused")
      assert.deepStrictEqual(yield* store.pausedQueues, ["idle"])
      assert.deepStrictEqual(yield* claimedIds(worker), ids)
    }))

  test("pauses no attempt that runs, and holds what comes back [LK-I1]", ({ claim, register, running, store }) =>
    Effect.gen(function* () {
      const { end } = yield* running()
      yield* store.pause("post")
      assert.strictEqual(yield* end(released), "accepted")
      const worker = yield* register
      assert.deepStrictEqual((yield* claim(worker)).jobs, [])
      yield* store.unpause("post")
      assert.lengthOf((yield* claim(worker)).jobs, 1)
    }))

  test("says which kinds and queues each worker serves, where it said so [LK-I6]", ({ register, store }) =>
    Effect.gen(function* () {
      const serves = { kinds: ["mail", "import"], queues: ["post"] }
      const told = [yield* store.register("told", serves), yield* register]
      const rows = (yield* store.workers).filter(({ id }) => told.includes(id))
      assert.deepStrictEqual(
        rows.map((row) => row.serves),
        [Option.some(serves), Option.none()]
      )
    }))

  test("counts the beats of each worker, and a beat names the leases it holds, oldest first", (world) =>
    Effect.gen(function* () {
      const { claim, enqueue, register, store } = world
      const worker = yield* store.register("left hand")
      const other = yield* register
      yield* enqueue({}, { priority: 2 })
      const first = yield* claim(worker)
      yield* enqueue({})
      const second = yield* claim(worker)
      const leases = [...first.jobs, ...second.jobs].map(({ lease }) => lease)
      assert.deepStrictEqual(yield* store.beat(worker), { alive: true, leases, cancelling: [] })
      yield* store.beat(worker)
      assert.deepStrictEqual(yield* store.beat(other), { alive: true, leases: [], cancelling: [] })
      const rows = (yield* store.workers).map(({ beats, id, name }) => ({ beats, id, name }))
      assert.deepStrictEqual(rows, [
        { beats: 2, id: worker, name: "left hand" },
        { beats: 1, id: other, name: "worker" }
      ])
    }))

  test("declares a worker dead unless it has beaten since [LK-C2]", ({ claim, register, store }) =>
    Effect.gen(function* () {
      const worker = yield* register
      yield* store.beat(worker)
      assert.isFalse(yield* store.declareDead(worker, 0))
      assert.isTrue((yield* store.beat(worker)).alive)
      assert.isTrue(yield* store.declareDead(worker, 2))
      assert.isFalse(yield* store.declareDead(stranger, 0))
      assert.deepStrictEqual((yield* claim(worker)).jobs, [])
    }))

  test("tells a worker that was declared dead, and gives it nothing more [LK-C8]", ({ declareDead, running, store }) =>
    Effect.gen(function* () {
      const gone = { alive: false, leases: [], cancelling: [] }
      const { id, worker } = yield* running()
      yield* store.cancel(id, "not wanted")
      yield* declareDead(worker)
      assert.deepStrictEqual(yield* store.beat(worker), gone)
      assert.strictEqual((yield* store.workers)[0]!.beats, 0)
      assert.deepStrictEqual(yield* store.beat(stranger), gone)
      const reborn = yield* store.register("reborn")
      assert.notStrictEqual(reborn, worker)
      assert.isTrue((yield* store.beat(reborn)).alive)
    }))

  test("forgets a worker once nothing is held in its name", ({ declareDead, running, store }) =>
    Effect.gen(function* () {
      const leaving = yield* running()
      assert.isFalse(yield* store.forget(leaving.worker))
      yield* leaving.end(completed)
      assert.isTrue(yield* store.forget(leaving.worker))
      assert.isFalse(yield* store.forget(leaving.worker))

      const dead = yield* running()
      yield* declareDead(dead.worker)
      assert.isFalse(yield* store.forget(dead.worker))
      yield* store.rescueWorker(dead.worker, { limit: 1, crashBudget: 3 })
      assert.isTrue(yield* store.forget(dead.worker))
      assert.isFalse((yield* store.beat(dead.worker)).alive)
      assert.deepStrictEqual(yield* store.workers, [])
    }))
}
