/** What every store lets go of, and keeps. */
import { assert } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { Uniqueness } from "../../src/store/Store.ts"
import type { Test } from "./suite.ts"
import { hours, job } from "./suiteWorld.ts"

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
