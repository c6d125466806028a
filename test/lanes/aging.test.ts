import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as TestClock from "effect/testing/TestClock"
import { LeaderElection } from "../../src/LeaderElection.ts"
import { layerMaintenanceOnly } from "../../src/roles/maintenance.ts"
import { Store } from "../../src/store/Store.ts"
import { StoreConnections } from "../../src/StoreConnections.ts"
import { completed, makeWorld } from "../store/suiteWorld.ts"
import { quietly } from "../support/quietly.ts"
import { ground } from "./world.ts"

const layer = StoreConnections.layerShared.pipe(Layer.provideMerge(ground))

/** Seconds until the job is claimed, by a worker that is slower than the jobs of the best priority come. */
const starves = Effect.fnUntraced(function* (seconds: number) {
  const { claim, enqueue, finish, register, store } = makeWorld(yield* Store, TestClock.adjust)
  const [low] = yield* enqueue({ priority: 9 })
  const worker = yield* register
  for (let second = 0; second < seconds; second++) {
    yield* enqueue({ priority: 0 }, { priority: 0 })
    const [claimed] = (yield* claim(worker, 1)).jobs
    if (claimed!.id === low) return second
    yield* finish(worker, claimed!, completed)
    yield* store.beat(worker)
    yield* TestClock.adjust("1 second")
  }
  assert.deepStrictEqual(yield* store.place(low!), Option.some("ready"))
  return Infinity
})

describe("The lane aging", () => {
  it.effect("starts a job of the lowest priority within a minute per level, under an endless stream [LK-D5]", () =>
    Effect.gen(function* () {
      const maintaining = layerMaintenanceOnly().pipe(Layer.provide(LeaderElection.layerLease()))
      yield* Layer.build(maintaining)
      assert.isAtMost(yield* starves(1_000), 9 * 60)
      yield* TestClock.adjust("0 seconds")
    }).pipe(quietly, Effect.provide(layer))
  )

  it.effect("is what does it: without maintenance that job waits for ever", () =>
    Effect.gen(function* () {
      assert.strictEqual(yield* starves(1_000), Infinity)
    }).pipe(quietly, Effect.provide(layer))
  )
})
