import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { type JobId, makeId, type Place, places } from "../../src/domain/Job.ts"
import type { Test } from "./suite.ts"
import { completed, died, hours } from "./suiteWorld.ts"

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
        assert.deepStrictEqual(yield* store.cancel(unknown, "x"), { moved: false, place: Option.none() })
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

  test("shows a job that is over in the queue it was last in", (world) =>
    Effect.gen(function* () {
      const { claim, enqueue, finish, register, show, store } = world
      const ids = yield* enqueue({}, {}, {})
      for (const id of ids) yield* store.reassign(id, { queue: "bulk", priority: 1 })
      const worker = yield* register
      const [completes, dies] = (yield* claim(worker, 2, "bulk")).jobs
      yield* finish(worker, completes!, completed)
      yield* finish(worker, dies!, died)
      yield* store.cancel(ids[2]!, "not wanted")
      const page = (place: Place, queue: string) =>
        Effect.map(store.page({ place, queue, limit: 10 }), (views) => views.map(({ id }) => id))
      assert.deepStrictEqual(yield* page("completed", "bulk"), [ids[0]])
      assert.deepStrictEqual(yield* page("cancelled", "bulk"), [ids[2]])
      assert.deepInclude(yield* show(ids[0]!), { queue: "bulk", priority: 1 })
      assert.deepStrictEqual(yield* page("dead", "bulk"), [ids[1]])
      assert.deepInclude(yield* show(ids[1]!), { queue: "bulk", priority: 1 })
    }))
}
