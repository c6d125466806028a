/** What `dev` draws, in terminals of every size. */
import { assert, describe, it } from "@effect/vitest"
import { fitted, wrapped } from "../../src/cli/dev/StageView.ts"

describe("The view of dev", () => {
  it("wraps what is said by words, and what is one word anywhere [LK-K7]", () => {
    assert.deepStrictEqual(wrapped("   4s  Killed worker 1", 80), ["   4s  Killed worker 1"])
    assert.deepStrictEqual(wrapped("  4s  Killed worker 1 while it ran 3 jobs", 24), [
      "  4s  Killed worker 1",
      "      while it ran 3",
      "      jobs"
    ])
    const lines = wrapped(`  0s  DATABASE_URL=${"x".repeat(60)}`, 40)
    assert.isTrue(lines.every((line) => line.length <= 40))
    assert.strictEqual(lines.join("").replaceAll(" ", ""), `0sDATABASE_URL=${"x".repeat(60)}`)
  })

  it("never draws more lines than there are, nor longer ones, and keeps what was said last [LK-K7]", () => {
    const picture = Array.from({ length: 30 }, (_, n) => `line ${n} ${"x".repeat(200)}`)
    const said = Array.from({ length: 6 }, (_, n) => `  ${n}s  something happened that takes some words to tell`)
    for (const [columns, rows] of [
      [80, 24],
      [40, 12],
      [200, 50]
    ] as const) {
      const lines = fitted(picture, said, { columns, rows })
      assert.isBelow(lines.length, rows)
      assert.isTrue(lines.every((line) => line.length <= columns))
      assert.include(lines.at(-1), "tell")
      assert.include(lines[0], "line 0")
    }
  })
})
