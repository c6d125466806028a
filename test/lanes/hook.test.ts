import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Ref from "effect/Ref"
import * as TestClock from "effect/testing/TestClock"
import { tick } from "../../src/lanes/tick.ts"
import { Maintenance } from "../../src/lanes/Maintenance.ts"
import { LeaderElection } from "../../src/LeaderElection.ts"
import { Store } from "../../src/store/Store.ts"
import { StoreConnections } from "../../src/StoreConnections.ts"
import { job } from "../store/suiteWorld.ts"
import { quietly } from "../support/quietly.ts"
import { ground, instants, steady } from "./world.ts"

const layer = StoreConnections.layerShared.pipe(Layer.provideMerge(ground), Layer.merge(steady))

const maintaining = Effect.fnUntraced(function* (hook: Effect.Effect<unknown, unknown>) {
  const services = yield* Layer.build(
    Maintenance.layer({ hook }).pipe(Layer.provide(LeaderElection.layerLease()), Layer.provide(layer))
  )
  const maintenance = yield* Effect.provide(Maintenance, services)
  yield* Effect.forkScoped(maintenance.run(yield* Deferred.make<void>()))
  return { status: Effect.map(maintenance.lanes, (lanes) => lanes.find(({ name }) => name === "hook")!) }
})

describe("The lane hook", () => {
  it.effect("runs an Effect of the application's own every minute, in the process that leads [LK-D11]", () =>
    Effect.gen(function* () {
      const { now, seen } = yield* instants
      yield* maintaining(now)
      yield* TestClock.adjust("3 minutes")
      assert.deepStrictEqual(yield* seen, [60_000, 120_000, 180_000])
    }).pipe(quietly)
  )

  const faults: ReadonlyArray<readonly [string, Effect.Effect<unknown, unknown>]> = [
    ["fails", Effect.fail("no")],
    ["dies", Effect.die(new Error("no"))],
    ["interrupts itself", Effect.interrupt],
    ["throws before it begins", Effect.suspend(() => assert.fail("no"))]
  ]
  for (const [how, effect] of faults) {
    it.effect(`goes on when that ${how}, and says so [LK-A12, LK-D11]`, () =>
      Effect.gen(function* () {
        const runs = yield* Ref.make(0)
        const { status } = yield* maintaining(
          Effect.andThen(
            Ref.update(runs, (n) => n + 1),
            effect
          )
        )
        yield* TestClock.adjust("10 minutes")
        assert.isAbove(yield* Ref.get(runs), 3)
        assert.strictEqual((yield* status).failures, yield* Ref.get(runs))
      }).pipe(quietly)
    )
  }

  it.effect("interrupts it after 30 seconds, and delays no other lane meanwhile [LK-D11]", () =>
    Effect.gen(function* () {
      const { now, seen } = yield* instants
      const { status } = yield* maintaining(Effect.onInterrupt(Effect.never, () => now))
      yield* TestClock.adjust("95 seconds")
      assert.deepStrictEqual(yield* seen, [90_000])
      assert.strictEqual((yield* status).failures, 1)
    }).pipe(quietly)
  )

  it.effect("is run by a tick that is given one, beside the other lanes [LK-A5, LK-D11]", () =>
    Effect.gen(function* () {
      const store = yield* Store
      const [id] = yield* store.enqueue([job({ runIn: Duration.seconds(1) })])
      yield* TestClock.adjust("1 minute")
      const { ran } = yield* tick({ hook: Effect.fail("no") })
      const of = (name: string) => ran.find(({ lane }) => lane === name)
      assert.strictEqual(of("hook")?.error, "The hook failed: no")
      assert.isNull(of("promote")?.error)
      assert.deepStrictEqual(yield* store.place(id!), Option.some("ready"))
    }).pipe(Effect.provide(ground))
  )
})
