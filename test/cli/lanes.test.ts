import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { main, root, run } from "../support/processes.ts"
import { TestDatabase } from "../support/TestDatabase.ts"

const lanes = Effect.fnUntraced(function* (args: ReadonlyArray<string>, url?: string) {
  const { code, stderr, stdout } = yield* run(process.execPath, [main, "lanes", ...args], {
    env: { DATABASE_URL: url }
  })
  assert.strictEqual(code, 0, stderr)
  return stdout
})

describe("lanekeeper lanes", () => {
  it.live("prints the table that the README shows [LK-B13]", () =>
    Effect.gen(function* () {
      const [, ...printed] = (yield* lanes(["--list"])).trimEnd().split("\n")
      const rows = printed.map((line) => line.split(/ {2,}/).slice(0, 4))
      const readme = readFileSync(join(root, "README.md"), "utf8")
      const table = readme
        .split("| lane | class | interval | batch |\n| --- | --- | --- | --- |\n")[1]!
        .split("\n\n")[0]!
      assert.deepStrictEqual(
        table.split("\n").map((line) => line.slice(2, -2).split(" | ")),
        rows
      )
    })
  )

  it.live("says how each lane ran last, wherever that was, and who leads [LK-B8]", () =>
    Effect.gen(function* () {
      const { url } = yield* TestDatabase
      assert.match(yield* lanes([], url), /promote .* never\n[^]*Nobody leads/)
      yield* run(process.execPath, [main, "tick"], { env: { DATABASE_URL: url } })
      assert.match(yield* lanes([], url), /promote .* ago .* done\n/)
      const told = JSON.parse(yield* lanes(["--json"], url))
      assert.deepStrictEqual(told.leader, { term: 0, holder: null, leading: 0 })
      assert.deepInclude(told.lanes[0], { lane: "promote", class: "user-visible", interval: 250, batch: 1000 })
      assert.deepInclude(told.lanes[0].last, { rows: 0, failures: 0, error: null })
    }).pipe(Effect.scoped, Effect.provide(TestDatabase.layer))
  )
})
