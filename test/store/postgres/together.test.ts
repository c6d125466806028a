import { assert, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/testing/TestClock"
import { together } from "../../../src/store/postgres/together.ts"

/** Writes down what is sent, numbers it, and answers when it is told to. */
const notebook = Effect.fnUntraced(function* (bytes: (one: string) => number = () => 1) {
  const sent: Array<string> = []
  const replies: Array<Deferred.Deferred<void, string>> = []
  const numbers = new Map<string, number>()
  const interrupted: Array<string> = []
  const send = Effect.fnUntraced(function* (all: ReadonlyArray<string>) {
    const reply = yield* Deferred.make<void, string>()
    const name = all.join(" ")
    sent.push(name)
    replies.push(reply)
    yield* Effect.onInterrupt(Deferred.await(reply), () =>
      Effect.sync(() => {
        interrupted.push(name)
        replies.splice(replies.indexOf(reply), 1)
      })
    )
    return all.map((one) => {
      numbers.set(one, numbers.size + 1)
      return `${one}${numbers.get(one)}`
    })
  })
  const ask = yield* together({ send, bytes, isOnes: (error) => error === "bad" })
  return {
    sent,
    interrupted,
    /** Each in a fiber of its own, in this order. */
    ask: (...all: ReadonlyArray<string>) =>
      Effect.forEach(all, (one) => Effect.forkDetach(ask(one), { startImmediately: true })),
    /** Lets the oldest that has no answer yet have one, and whoever waits for it go on. */
    reply: (exit: Exit.Exit<void, string> = Exit.void) =>
      Effect.andThen(Deferred.done(replies.shift()!, exit), TestClock.adjust(0))
  }
})

const answersOf = (fibers: ReadonlyArray<Fiber.Fiber<string, string>>) =>
  Effect.forEach(fibers, (fiber) => Effect.flip(Fiber.join(fiber)).pipe(Effect.flip, Effect.catch(Effect.succeed)))

it.effect("sends the first at once, and what comes meanwhile together, each with an answer of its own [LK-E1]", () =>
  Effect.gen(function* () {
    const { ask, reply, sent } = yield* notebook()
    const first = yield* ask("a")
    assert.deepStrictEqual(sent, ["a"])
    const others = yield* ask("b", "c", "d")
    yield* reply()
    const last = yield* ask("e")
    yield* reply()
    yield* reply()
    assert.deepStrictEqual(sent, ["a", "b c d", "e"])
    assert.deepStrictEqual(yield* answersOf([...first, ...others, ...last]), ["a1", "b2", "c3", "d4", "e5"])
    yield* ask("f")
    assert.deepStrictEqual(sent.slice(3), ["f"])
    yield* reply()
  })
)

it.effect("sends so many and so much at once and no more [LK-E1]", () =>
  Effect.gen(function* () {
    const { ask, reply, sent } = yield* notebook((one) => (one === "large" ? 1_000_000 : 1))
    yield* ask("first", "large", "large", ...Array.from({ length: 300 }, () => "x"))
    for (let n = 0; n < 4; n++) yield* reply()
    assert.deepStrictEqual(
      sent.map((all) => all.split(" ").length),
      [1, 1, 200, 101]
    )
  })
)

it.effect("fails only the caller whose own fault it is: all others are sent again, alone [LK-E1]", () =>
  Effect.gen(function* () {
    const { ask, reply, sent } = yield* notebook()
    const fibers = yield* ask("a", "b", "c", "d")
    yield* reply()
    yield* reply(Exit.fail("bad"))
    yield* reply()
    yield* reply(Exit.fail("bad"))
    yield* reply()
    assert.deepStrictEqual(sent, ["a", "b c d", "b", "c", "d"])
    assert.deepStrictEqual(yield* answersOf(fibers), ["a1", "b2", "bad", "d3"])
  })
)

it.effect("sends nothing twice whose outcome nobody knows: all its callers hear what happened [LK-E1]", () =>
  Effect.gen(function* () {
    const { ask, reply, sent } = yield* notebook()
    const fibers = yield* ask("a", "b", "c")
    yield* reply()
    yield* reply(Exit.fail("connection lost"))
    assert.deepStrictEqual(sent, ["a", "b c"])
    assert.deepStrictEqual(yield* answersOf(fibers), ["a1", "connection lost", "connection lost"])
    yield* ask("d")
    assert.deepStrictEqual(sent.slice(2), ["d"])
    yield* reply()
  })
)

it.effect("leaves out who is interrupted before, and waits for nobody who is meanwhile [LK-E1]", () =>
  Effect.gen(function* () {
    const { ask, interrupted, reply, sent } = yield* notebook()
    const fibers = yield* ask("a", "b", "c", "d")
    yield* Fiber.interrupt(fibers[1]!)
    yield* reply()
    assert.deepStrictEqual(sent, ["a", "c d"])
    yield* Fiber.interrupt(fibers[2]!)
    assert.deepStrictEqual(interrupted, [])
    yield* reply()
    assert.strictEqual(yield* Fiber.join(fibers[3]!), "d3")
  })
)

it.effect("interrupts what is on its way when the last who waits for it is interrupted [LK-E1]", () =>
  Effect.gen(function* () {
    const { ask, interrupted, reply, sent } = yield* notebook()
    const [first, ...others] = yield* ask("a", "b", "c")
    yield* Fiber.interrupt(first!)
    assert.deepStrictEqual(interrupted, ["a"])
    yield* TestClock.adjust(0)
    yield* Fiber.interruptAll(others)
    assert.deepStrictEqual(interrupted, ["a", "b c"])
    const waiting = yield* ask("d", "e")
    yield* Fiber.interrupt(waiting[1]!)
    yield* ask("f")
    yield* reply()
    assert.deepStrictEqual(sent, ["a", "b c", "d", "f"])
    yield* reply()
  })
)

it.effect("waits 50 ms and no longer for what is on its way: it may be stuck [LK-E1]", () =>
  Effect.gen(function* () {
    const { ask, reply, sent } = yield* notebook()
    yield* ask("stuck", "b", "c")
    yield* TestClock.adjust(49)
    assert.deepStrictEqual(sent, ["stuck"])
    yield* TestClock.adjust(1)
    assert.deepStrictEqual(sent, ["stuck", "b c"])
    yield* ask("d")
    yield* TestClock.adjust(50)
    assert.deepStrictEqual(sent, ["stuck", "b c", "d"])
    for (const _ of sent) yield* reply()
  })
)

it.effect("waits for what is on its way when its scope closes, and leaves nobody hanging [LK-A15]", () =>
  Effect.gen(function* () {
    const scope = yield* Scope.make()
    const { ask, interrupted, reply, sent } = yield* Scope.provide(notebook(), scope)
    const fibers = yield* ask("a", "b", "stuck")
    yield* reply()
    const waiting = yield* ask("c")
    const closing = yield* Effect.forkChild(Scope.close(scope, Exit.void), { startImmediately: true })
    yield* TestClock.adjust(50)
    assert.deepStrictEqual(sent, ["a", "b stuck", "c"])
    yield* TestClock.adjust(1_949)
    assert.deepStrictEqual(interrupted, [])
    yield* TestClock.adjust(1)
    yield* Fiber.join(closing)
    assert.sameMembers(interrupted, ["b stuck", "c"])
    yield* ask("d")
    const late = yield* ask("e", "f")
    for (const fiber of [...fibers.slice(1), ...waiting, ...late]) {
      const exit = yield* Fiber.await(fiber)
      assert.isTrue(Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause))
    }
  })
)
