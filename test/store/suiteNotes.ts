import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type { NoteName } from "../../src/domain/Note.ts"
import type { Claimed } from "../../src/store/Store.ts"
import type { Test } from "./suite.ts"
import { hours, released, retried } from "./suiteWorld.ts"

const noteOf = ({ attempt, id, lease }: Claimed, name: NoteName, value: unknown) => ({
  id,
  lease,
  attempt,
  name,
  value
})

export const notes = (test: Test) => {
  test("remembers what an attempt says once, for every attempt after it [LK-G7]", (world) =>
    Effect.gen(function* () {
      const { claim, store } = world
      const { claimed, end, id, worker } = yield* world.running()
      assert.isTrue(yield* store.remember(worker, noteOf(claimed, "step:charge", { receipt: 7 })))
      assert.isFalse(yield* store.remember(worker, noteOf(claimed, "step:charge", { receipt: 8 })))
      yield* end(released)
      const [again] = (yield* claim(worker)).jobs
      assert.isFalse(yield* store.remember(worker, noteOf(again!, "step:charge", { receipt: 9 })))
      assert.isTrue(yield* store.remember(worker, noteOf(again!, "step:ship", null)))
      const kept = yield* store.recall(id)
      assert.deepStrictEqual(
        kept.map(({ attempt, name, value }) => [name, attempt, value]),
        [
          ["step:charge", 1, { receipt: 7 }],
          ["step:ship", 2, null]
        ]
      )
    }))

  test("writes a note over the last one of its name, and never over a later attempt's [LK-G6]", (world) =>
    Effect.gen(function* () {
      const { claim, store } = world
      const { claimed, end, id, worker } = yield* world.running()
      yield* store.note(worker, [noteOf(claimed, "progress", { percent: 10 }), noteOf(claimed, "checkpoint", "page 1")])
      yield* store.note(worker, [noteOf(claimed, "progress", { percent: 20 })])
      yield* end(released)
      const [again] = (yield* claim(worker)).jobs
      yield* store.note(worker, [noteOf(claimed, "progress", { percent: 99 })])
      yield* store.note(worker, [noteOf(again!, "checkpoint", "page 2")])
      const kept = new Map((yield* store.recall(id)).map(({ name, value }) => [name, value]))
      assert.deepStrictEqual(
        kept,
        new Map<NoteName, unknown>([
          ["progress", { percent: 20 }],
          ["checkpoint", "page 2"]
        ])
      )
    }))

  test("takes notes of the lease that runs the attempt and of nobody else [LK-G1, LK-G7]", (world) =>
    Effect.gen(function* () {
      const { store } = world
      const { claimed, end, id, worker } = yield* world.running()
      const other = yield* store.register("another")
      assert.isFalse(yield* store.remember(other, noteOf(claimed, "step:a", 1)))
      assert.isFalse(yield* store.remember(worker, { ...noteOf(claimed, "step:a", 1), attempt: 2 }))
      yield* end(retried(hours(1)))
      assert.isFalse(yield* store.remember(worker, noteOf(claimed, "step:a", 1)))
      assert.deepStrictEqual(yield* store.recall(id), [])
    }))

  test("keeps notes of a job that died and was driven again [LK-G7, LK-D3]", (world) =>
    Effect.gen(function* () {
      const { store } = world
      const { claimed, end, id, worker } = yield* world.running()
      yield* store.remember(worker, noteOf(claimed, "step:a", 1))
      yield* end({ _tag: "Died", reason: "no such address" })
      yield* world.elapse(hours(48))
      assert.strictEqual((yield* store.retire({ limit: 10 })).notes, 0)
      yield* store.redrive(id)
      assert.strictEqual((yield* store.recall(id)).length, 1)
    }))
}
