/** What long commands tell on the way, to a person at a terminal and to nobody else. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { afterEach, beforeEach, type MockInstance, vi } from "vitest"
import { progress } from "../../src/cli/progress.ts"
import { command, dies, Note, runNext, test } from "./world.ts"

const isTerminal = Object.getOwnPropertyDescriptor(process.stderr, "isTTY")

const pretend = (terminal: boolean) =>
  Object.defineProperty(process.stderr, "isTTY", { value: terminal, configurable: true })

describe("The progress of a command", () => {
  let written: MockInstance<typeof process.stderr.write>

  beforeEach(() => {
    written = vi.spyOn(process.stderr, "write").mockReturnValue(true)
  })

  afterEach(() => {
    written.mockRestore()
    if (isTerminal === undefined) Reflect.deleteProperty(process.stderr, "isTTY")
    else Object.defineProperty(process.stderr, "isTTY", isTerminal)
  })

  const texts = () => written.mock.calls.map(([text]) => String(text))

  it.effect("is one line that is written over, no oftener than a person reads, and goes at the end [LK-K7]", () =>
    Effect.gen(function* () {
      pretend(true)
      yield* progress("")
      for (let n = 1; n <= 1_000; n++) yield* progress(`${n} jobs so far`)
      yield* progress("")
      assert.isBelow(texts().length, 100)
      assert.isTrue(texts().every((text) => text.startsWith("\r\u001b[2K") && !text.includes("\n")))
      assert.strictEqual(texts().at(-1), "\r\u001b[2K")
    })
  )

  test(
    "is told by a command that moves many, and by none without a terminal [LK-K7]",
    Effect.gen(function* () {
      for (let n = 0; n < 2; n++) {
        yield* Note.enqueue(n, { queue: "dying" })
        yield* runNext("dying", dies)
        pretend(n === 0)
        const { stdout } = yield* command("dead", "purge", "--all", "--yes")
        assert.strictEqual(stdout, "1 job purged")
        assert.strictEqual(
          texts().some((text) => text.includes("1 job so far")),
          n === 0
        )
        written.mockClear()
      }
    })
  )
})
