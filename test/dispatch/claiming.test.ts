/** When a worker asks for jobs, for how many, and what it leaves to others. */
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Ref from "effect/Ref"
import * as Schema from "effect/Schema"
import * as Job from "../../src/Job.ts"
import type { ClaimOptions } from "../../src/store/Store.ts"
import { away, elapse, inWorld, Work } from "./world.ts"

const idle = Work.handle(() => Effect.void)
const forever = Work.handle(() => Effect.never)

const Other = Job.make("other", { payload: { text: Schema.String }, queue: "others" })

const claims = (watched: { readonly of: (name: string) => ReadonlyArray<never> }) =>
  watched.of("claim") as ReadonlyArray<ClaimOptions>

describe("A worker's claims", () => {
  it.effect("drives once at start, and then looks every poll interval [LK-F2]", () =>
    inWorld(
      Effect.fnUntraced(function* ({ watched, worker }) {
        yield* worker(idle)
        assert.strictEqual(watched.count("claim"), 1)
        yield* elapse("999 millis")
        assert.strictEqual(watched.count("claim"), 1)
        yield* elapse("1 millis")
        assert.strictEqual(watched.count("claim"), 2)
        yield* elapse("10 seconds")
        assert.strictEqual(watched.count("claim"), 12)
      })
    )
  )

  it.effect("drives at once when it is poked, and waits a whole poll after that [LK-F2]", () =>
    inWorld(
      Effect.fnUntraced(function* ({ wakeup, watched, worker }) {
        yield* worker(idle)
        yield* elapse("400 millis")
        yield* wakeup.poke(["default"])
        yield* elapse(0)
        assert.strictEqual(watched.count("claim"), 2)
        yield* elapse("999 millis")
        assert.strictEqual(watched.count("claim"), 2)
        yield* elapse("1 millis")
        assert.strictEqual(watched.count("claim"), 3)
      })
    )
  )

  it.effect("makes of a thousand pokes during a drive exactly one more [LK-F2]", () =>
    inWorld(
      Effect.fnUntraced(function* ({ wakeup, watched, worker }) {
        const answer = yield* Deferred.make<void>()
        watched.before = (name) => (name === "claim" ? Deferred.await(answer) : Effect.void)
        yield* worker(idle)
        assert.strictEqual(watched.count("claim"), 1)
        yield* Effect.forEach(Array.from({ length: 1_000 }), () => wakeup.poke(["default"]), { discard: true })
        yield* elapse("5 seconds")
        assert.strictEqual(watched.count("claim"), 1, "drives never overlap")
        yield* Deferred.succeed(answer, undefined)
        yield* elapse(0)
        assert.strictEqual(watched.count("claim"), 2)
        yield* elapse("999 millis")
        assert.strictEqual(watched.count("claim"), 2, "polls that were missed are not made up for")
      })
    )
  )

  it.effect("takes a poke from before it started for its first drive, and hears none after it stopped [LK-F2]", () =>
    inWorld(
      Effect.fnUntraced(function* ({ wakeup, watched, worker }) {
        yield* wakeup.poke(["default"])
        const { ended, stop } = yield* worker(idle)
        assert.strictEqual(watched.count("claim"), 1)
        yield* stop
        yield* ended
        yield* wakeup.poke(["default"])
        yield* elapse("10 seconds")
        assert.strictEqual(watched.count("claim"), 1)
      })
    )
  )

  it.effect("is not woken by another store's poke, nor for a queue it does not serve [LK-F9]", () =>
    inWorld(
      Effect.fnUntraced(function* (one) {
        yield* one.worker(idle)
        yield* inWorld(({ wakeup }) => wakeup.poke(["default"]))
        yield* one.wakeup.poke(["elsewhere"])
        yield* elapse(0)
        assert.strictEqual(one.watched.count("claim"), 1)
        yield* one.wakeup.poke(["elsewhere", "default"])
        yield* elapse(0)
        assert.strictEqual(one.watched.count("claim"), 2)
      })
    )
  )

  it.effect("asks for all its queues in one claim, and for as many jobs as there is room for [LK-F4, LK-I2]", () =>
    inWorld(
      Effect.fnUntraced(function* ({ store, watched, worker }) {
        yield* Work.enqueueMany(Array.from({ length: 9 }, (_, n) => ({ n })))
        yield* Other.enqueue({ text: "a" })
        yield* worker(
          Layer.merge(
            forever,
            Other.handle(() => Effect.never)
          ),
          {
            queues: { default: { concurrency: 4 }, others: { concurrency: 2 } }
          }
        )
        const [first] = claims(watched)
        assert.deepStrictEqual(first!.queues, [
          { queue: "default", limit: 4, ahead: 0 },
          { queue: "others", limit: 2, ahead: 0 }
        ])
        yield* elapse("1 minute")
        assert.strictEqual((yield* store.page({ place: "running", queue: "default", limit: 100 })).length, 4)
        assert.strictEqual((yield* store.page({ place: "running", queue: "others", limit: 100 })).length, 1)
        for (const { queues } of claims(watched).slice(1)) {
          assert.deepStrictEqual(queues, [{ queue: "others", limit: 1, ahead: 0 }])
        }
      })
    )
  )

  it.effect("never runs more of a queue at once than it is told, whoever ends when [LK-I2]", () =>
    inWorld(
      Effect.fnUntraced(function* ({ store, worker }) {
        const running = yield* Ref.make(0)
        const most = yield* Ref.make(0)
        const handler = Work.handle(({ n }) =>
          Effect.acquireUseRelease(
            Effect.flatMap(
              Ref.updateAndGet(running, (now) => now + 1),
              (now) => Ref.update(most, (max) => Math.max(max, now))
            ),
            () => Effect.sleep(`${(n * 37) % 100} millis`),
            () => Ref.update(running, (now) => now - 1)
          )
        )
        yield* Work.enqueueMany(Array.from({ length: 500 }, (_, n) => ({ n })))
        yield* worker(handler, { concurrency: 7 })
        yield* elapse("30 seconds")
        assert.strictEqual((yield* store.page({ place: "completed", limit: 1_000 })).length, 500)
        assert.strictEqual(yield* Ref.get(most), 7)
      })
    )
  )

  it.effect("claims a little ahead of what ends in a moment, and gives back what it cannot start soon [LK-F4]", () =>
    inWorld(
      Effect.fnUntraced(function* ({ store, watched, worker }) {
        const slow = yield* Ref.make(false)
        const handler = Work.handle(() =>
          Effect.flatMap(Ref.get(slow), (isSlow) => Effect.sleep(isSlow ? "1 hour" : "1 millis"))
        )
        yield* Work.enqueueMany(Array.from({ length: 400 }, (_, n) => ({ n })))
        yield* worker(handler, { concurrency: 2 })
        yield* elapse("100 millis")
        assert.isTrue(claims(watched).some(({ queues }) => queues.some(({ ahead }) => ahead! > 2)))
        assert.isAbove(watched.count("begin"), 0)

        yield* Ref.set(slow, true)
        yield* elapse("5 seconds")
        const running = yield* store.page({ place: "running", limit: 100 })
        assert.strictEqual(running.length, 2)
        const ready = yield* store.page({ place: "ready", limit: 1_000 })
        assert.isAbove(ready.length, 0)
        for (const { crashes, failures } of ready) assert.deepStrictEqual([crashes, failures], [0, 0])
      })
    )
  )

  it.effect("leaves kinds it does not know to others, and says so once [LK-F6]", () =>
    inWorld(
      Effect.fnUntraced(function* ({ lines, store, worker }) {
        const { id } = yield* Other.enqueue({ text: "a" }, { queue: "default" })
        const { id: known } = yield* Work.enqueue({ n: 1 })
        yield* worker(idle)
        yield* elapse("3 minutes")
        assert.deepStrictEqual(yield* store.place(id), Option.some("ready"))
        assert.deepStrictEqual(yield* store.place(known), Option.some("completed"))
        assert.strictEqual((yield* Effect.map(store.show(id), Option.getOrThrow)).failures, 0)
        const told = lines.filter((line) => line.includes("without a handler here are left for others"))
        assert.strictEqual(told.length, 1)
      })
    )
  )

  it.effect("logs why a drive failed, backs off and goes on [LK-F8]", () =>
    inWorld(
      Effect.fnUntraced(function* ({ lines, store, watched, worker }) {
        const { id } = yield* Work.enqueue({ n: 1 })
        watched.before = (name) => (name === "claim" ? Effect.fail(away) : Effect.void)
        yield* worker(idle)
        yield* elapse("20 seconds")
        const failed = lines.filter((line) => line.includes("Could not claim"))
        assert.isAbove(failed.length, 5)
        assert.isBelow(failed.length, 20)
        watched.before = () => Effect.void
        yield* elapse("2 seconds")
        assert.deepStrictEqual(yield* store.place(id), Option.some("completed"))
      })
    )
  )

  it.effect("runs jobs on the brink of their crash budget one at a time, beside all others [LK-C2]", () =>
    inWorld(
      Effect.fnUntraced(function* ({ store, worker }) {
        const { id: victim } = yield* Work.enqueue({ n: 0 })
        const { id: other } = yield* Work.enqueue({ n: 1 })
        for (let crash = 0; crash < 2; crash++) {
          const vanished = yield* store.register("vanished")
          yield* store.claim({ worker: vanished, kinds: ["work"], queues: [{ queue: "default", limit: 2 }] })
          yield* store.declareDead(vanished, 0)
          yield* store.rescueWorker(vanished, { limit: 10, crashBudget: 3 })
        }
        const { id: fresh } = yield* Work.enqueue({ n: 2 })
        yield* worker(Work.handle(() => Effect.sleep("1 minute")))
        assert.deepStrictEqual(yield* store.place(victim), Option.some("running"))
        assert.deepStrictEqual(yield* store.place(other), Option.some("ready"))
        assert.deepStrictEqual(yield* store.place(fresh), Option.some("running"))
        yield* elapse("1 minute")
        assert.deepStrictEqual(yield* store.place(victim), Option.some("completed"))
        assert.deepStrictEqual(yield* store.place(other), Option.some("running"))
      })
    )
  )
})
