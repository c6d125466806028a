import { assert, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/testing/TestClock"
import { sending } from "../src/sending.ts"

/** Writes down what was sent when; each takes as long as it is told. */
const notebook = (takes: () => number) => {
  const sent: Array<readonly [at: number, all: ReadonlyArray<string>]> = []
  const send = Effect.fnUntraced(function* (all: ReadonlyArray<string>) {
    sent.push([yield* Clock.currentTimeMillis, all])
    yield* Effect.sleep(takes())
  })
  return { sent, send }
}

it.effect("sends the first at once, and what is said meanwhile together when as long again has passed [LK-E6]", () =>
  Effect.gen(function* () {
    const { send, sent } = notebook(() => 2)
    const say = yield* sending(send)
    yield* TestClock.adjust(0)
    say(["mail"])
    yield* TestClock.adjust(1)
    assert.deepStrictEqual(sent, [[0, ["mail"]]])
    say(["mail"])
    say(["post", "mail"])
    yield* TestClock.adjust(2)
    say(["news"])
    assert.lengthOf(sent, 1)
    yield* TestClock.adjust(1)
    assert.deepStrictEqual(sent.slice(1), [[4, ["mail", "post", "news"]]])
    yield* TestClock.adjust("1 minute")
    say(["late"])
    yield* TestClock.adjust(0)
    assert.deepStrictEqual(sent.slice(2), [[60_004, ["late"]]])
  })
)

it.effect("rests 5 ms at most after a server that takes long [LK-F3]", () =>
  Effect.gen(function* () {
    const { send, sent } = notebook(() => 1_000)
    const say = yield* sending(send)
    yield* TestClock.adjust(0)
    say(["mail"])
    yield* TestClock.adjust(1)
    say(["post"])
    yield* TestClock.adjust(1_004)
    assert.deepStrictEqual(sent, [
      [0, ["mail"]],
      [1_005, ["post"]]
    ])
  })
)

it.effect("sends what is left when its scope closes [LK-F3]", () =>
  Effect.gen(function* () {
    const { send, sent } = notebook(() => 0)
    const scope = yield* Scope.make()
    const say = yield* Scope.provide(sending(send), scope)
    say(["mail"])
    yield* Scope.close(scope, Exit.void)
    assert.deepStrictEqual(sent, [[0, ["mail"]]])
  })
)
