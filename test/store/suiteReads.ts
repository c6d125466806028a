import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { type JobId, makeId, type Place, places } from "../../src/domain/Job.ts"
import type { Test } from "./suite.ts"
import { completed, hours } from "./suiteWorld.ts"

export const reads = (test: Test): void => {
  test("says where a job stands, the same in every read, and finds each job in one place", (world) =>
    Effect.gen(function* () {
      const { enqueue, running, store, waiting } = world
      const waits = yield* waiting("token")
      const done = yield* running()
      yield* done.end(completed)
      const dead = yield* world.dead()
      const { id: runs } = yield* running()
      const [ready, scheduled, cancelled] = yield* enqueue({}, { runIn: hours(1) }, {})
      yield* store.cancel(cancelled!, "not wanted")
      const expected: Readonly<Record<Place, JobId>> = {
        scheduled: scheduled!,
        ready: ready!,
        running: runs,
        waiting: waits,
        completed: done.id,
        cancelled: cancelled!,
        dead
      }
      for (const place of places) {
        const id = expected[place]
        assert.deepStrictEqual(yield* store.place(id), Option.some(place))
        const view = Option.getOrThrow(yield* store.show(id))
        assert.strictEqual(view.place, place)
        assert.deepStrictEqual(yield* store.page({ place, limit: 10 }), [view])
      }
    }))

  test("knows no job that was never enqueued", ({ enqueue, store }) =>
    Effect.gen(function* () {
      const [id] = yield* enqueue({})
      for (const unknown of [makeId(1, 999_999n), makeId(9999, 1n), makeId(0, 1n)]) {
        if (unknown === id) continue
        assert.deepStrictEqual(yield* store.place(unknown), Option.none())
        assert.deepStrictEqual(yield* store.show(unknown), Option.none())
      }
    }))

  test("pages newest first, after a job, of one queue", ({ enqueue, store }) =>
    Effect.gen(function* () {
      const ids = yield* enqueue(...["a", "b", "a", "b", "a"].map((queue, priority) => ({ queue, priority })))
      const page = (options: { readonly queue?: string; readonly after?: JobId; readonly limit: number }) =>
        Effect.map(store.page({ place: "ready", ...options }), (views) => views.map(({ id }) => ids.indexOf(id)))
      assert.deepStrictEqual(yield* page({ limit: 10 }), [4, 3, 2, 1, 0])
      assert.deepStrictEqual(yield* page({ limit: 2 }), [4, 3])
      assert.deepStrictEqual(yield* page({ limit: 2, after: ids[3]! }), [2, 1])
      assert.deepStrictEqual(yield* page({ limit: 10, queue: "b" }), [3, 1])
      assert.deepStrictEqual(yield* page({ limit: 10, queue: "a", after: ids[3]! }), [2, 0])
      assert.deepStrictEqual(yield* page({ limit: 10, queue: "c" }), [])
      assert.deepStrictEqual(yield* page({ limit: 10, after: ids[0]! }), [])
    }))

  test("pages what is over in the queue it was last in", ({ claim, enqueue, finish, register, store }) =>
    Effect.gen(function* () {
      const [id] = yield* enqueue({})
      yield* store.reassign(id!, { queue: "bulk", priority: 1 })
      const worker = yield* register
      const [claimed] = (yield* claim(worker, 1, "bulk")).jobs
      yield* finish(worker, claimed!, completed)
      const page = (queue: string) => store.page({ place: "completed", queue, limit: 10 })
      assert.lengthOf(yield* page("bulk"), 1)
      assert.lengthOf(yield* page("post"), 0)
    }))
}
