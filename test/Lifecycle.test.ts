import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Ref from "effect/Ref"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/testing/TestClock"
import * as Lifecycle from "../src/Lifecycle.ts"
import { Lines, steady } from "./lanes/world.ts"

class NotYet extends Error {
  readonly _tag = "NotYet"
}

/** Something that counts its starts, cannot begin `failing` times, and needs `finishing` to end when it is told to. */
const make = Effect.fnUntraced(function* (
  options: Lifecycle.LifecycleOptions & { readonly failing?: number; readonly finishing?: `${number} seconds` } = {}
) {
  const { failing = 0, finishing = "0 seconds" } = options
  const begun = yield* Ref.make(0)
  const live = yield* Ref.make(0)
  const ends: Array<string> = []
  const begin = Ref.updateAndGet(begun, (n) => n + 1).pipe(
    Effect.filterOrFail(
      (attempt) => attempt > failing,
      () => new NotYet("the database is away")
    )
  )
  const run = (stopping: Deferred.Deferred<void>) =>
    Effect.acquireUseRelease(
      Ref.update(live, (n) => n + 1),
      () => Effect.andThen(Deferred.await(stopping), Effect.sleep(finishing)),
      (_, exit) => {
        ends.push(Exit.isSuccess(exit) ? "finished" : "interrupted")
        return Ref.update(live, (n) => n - 1)
      }
    )
  const handle = yield* Lifecycle.make(begin, run, options)
  return { ...handle, begun: Ref.get(begun), live: Ref.get(live), ends }
})

const log = new Lines()
const test = (sentence: string, body: Effect.Effect<void, unknown, Scope.Scope>) =>
  it.effect(sentence, () => body.pipe(Effect.scoped, Effect.provide([log.layer, steady])))

describe("Lifecycle", () => {
  test(
    "starts once, however many start it at once [LK-A7]",
    Effect.gen(function* () {
      const { background, begun, live, phase, ready } = yield* make()
      assert.strictEqual(yield* phase, "stopped")
      const starts = Array.from({ length: 32 }, (_, n) => (n % 2 ? ready : background))
      yield* Effect.all(starts, { concurrency: "unbounded" })
      assert.strictEqual(yield* ready, 1)
      assert.deepStrictEqual([yield* begun, yield* live, yield* phase], [1, 1, "running"])
    })
  )

  test(
    "is ready when it could begin, after attempts that it warns of [LK-A8]",
    Effect.gen(function* () {
      log.lines.length = 0
      const { live, phase, ready } = yield* make({ failing: 2 })
      const fiber = yield* Effect.forkScoped(ready)
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* phase, "starting")
      yield* TestClock.adjust("500 millis")
      assert.strictEqual(yield* Fiber.join(fiber), 3)
      assert.strictEqual(yield* live, 1)
      assert.deepStrictEqual(log.lines, ["Warn: Could not start", "Warn: Could not start"])
    })
  )

  test(
    "leaves nothing running when a ready start gives up, and can be started again [LK-A8]",
    Effect.gen(function* () {
      const { live, phase, ready } = yield* make({ failing: 3, attempts: 3, retryAfter: "1 second" })
      const fiber = yield* Effect.forkScoped(Effect.flip(ready))
      yield* TestClock.adjust("3 seconds")
      assert.strictEqual((yield* Fiber.join(fiber)).message, "the database is away")
      assert.deepStrictEqual([yield* live, yield* phase], [0, "stopped"])
      assert.strictEqual(yield* ready, 4)
    })
  )

  test(
    "returns from a background start at once, and tries for ever with backoff [LK-A8]",
    Effect.gen(function* () {
      const { background, begun, live, phase } = yield* make({ failing: 20 })
      yield* background
      assert.strictEqual(yield* phase, "starting")
      yield* TestClock.adjust("61500 millis") // 0.5 + 1 + 2 + 4 + 8 + 16 + 30
      assert.strictEqual(yield* begun, 8)
      yield* TestClock.adjust("7 minutes")
      assert.deepStrictEqual([yield* live, yield* phase], [1, "running"])
    })
  )

  test(
    "does not give up a ready start that somebody started in the background too [LK-A8]",
    Effect.gen(function* () {
      const { background, ready } = yield* make({ failing: 8, attempts: 2 })
      const fiber = yield* Effect.forkScoped(ready)
      yield* TestClock.adjust("0 seconds")
      yield* background
      yield* TestClock.adjust("5 minutes")
      assert.strictEqual(yield* Fiber.join(fiber), 9)
    })
  )

  test(
    "holds back everything for the start delay, once [LK-A8]",
    Effect.gen(function* () {
      const { begun, ready, shutdown } = yield* make({ startDelay: "10 seconds" })
      const fiber = yield* Effect.forkScoped(ready)
      yield* TestClock.adjust("9 seconds")
      assert.strictEqual(yield* begun, 0)
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(fiber)
      yield* shutdown
      assert.strictEqual(yield* ready, 2)
    })
  )

  test(
    "lets it finish when it is shut down, and refuses a start meanwhile [LK-A9, LK-A10]",
    Effect.gen(function* () {
      const { abort, begun, ends, live, phase, ready, shutdown } = yield* make({ finishing: "5 seconds" })
      yield* ready
      const stops = yield* Effect.forEach([1, 2, 3], () => Effect.forkScoped(shutdown))
      yield* TestClock.adjust("4 seconds")
      assert.deepStrictEqual([yield* phase, yield* live], ["stopping", 1])
      const refused = yield* Effect.flip(ready)
      assert.strictEqual(refused._tag, "TransitionInProgress")
      yield* TestClock.adjust("1 second")
      yield* Fiber.joinAll(stops)
      assert.deepStrictEqual([yield* phase, yield* live, ends], ["stopped", 0, ["finished"]])
      yield* shutdown
      yield* ready
      assert.deepStrictEqual([yield* begun, yield* live], [2, 1])
      yield* abort
    })
  )

  test(
    "interrupts now when it is aborted, also when it was being shut down [LK-A10]",
    Effect.gen(function* () {
      const { abort, ends, live, ready, shutdown } = yield* make({ finishing: "5 seconds" })
      yield* ready
      yield* abort
      assert.deepStrictEqual([yield* live, ends], [0, ["interrupted"]])
      yield* abort
      yield* ready
      const stop = yield* Effect.forkScoped(shutdown)
      yield* TestClock.adjust("1 second")
      yield* abort
      yield* Fiber.join(stop)
      assert.deepStrictEqual([yield* live, ends], [0, ["interrupted", "interrupted"]])
    })
  )

  test(
    "stops a start that has not begun, and tells whoever waits for it [LK-A9]",
    Effect.gen(function* () {
      const { live, phase, ready, shutdown } = yield* make({ failing: 99, attempts: 99 })
      const fiber = yield* Effect.forkScoped(Effect.flip(ready))
      yield* TestClock.adjust("1 second")
      yield* shutdown
      assert.strictEqual((yield* Fiber.join(fiber))._tag, "TransitionInProgress")
      assert.deepStrictEqual([yield* live, yield* phase], [0, "stopped"])
    })
  )

  test(
    "goes on when whoever started it is interrupted [LK-A10]",
    Effect.gen(function* () {
      const { live, ready } = yield* make({ failing: 1 })
      const fiber = yield* Effect.forkScoped(ready)
      yield* TestClock.adjust("0 seconds")
      yield* Fiber.interrupt(fiber)
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* live, 1)
    })
  )

  test(
    "is shut down with the scope that made it [LK-A15]",
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const { ends, live, ready } = yield* Scope.provide(make(), scope)
      yield* ready
      assert.strictEqual(yield* live, 1)
      yield* Scope.close(scope, Exit.void)
      assert.deepStrictEqual([yield* live, ends], [0, ["finished"]])
    })
  )

  test(
    "reports from shutdown what it died of [LK-A10]",
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const run = (stopping: Deferred.Deferred<void>) =>
        Effect.andThen(Deferred.await(stopping), Effect.die(new Error("a fiber would not end well")))
      const { ready, shutdown } = yield* Scope.provide(
        Lifecycle.make(Effect.void as Effect.Effect<void, NotYet>, run),
        scope
      )
      yield* ready
      const exit = yield* Effect.exit(shutdown)
      assert.include(String(exit), "a fiber would not end well")
    })
  )
})
