import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { mkdir, writeFile } from "node:fs/promises"
import { dirname, join } from "node:path"
import { root, run } from "../support/processes.ts"
import { temporaryFolder } from "../support/temporaryFolder.ts"

/** Runs the check over a tree that holds these files. */
const check = Effect.fnUntraced(function* (files: Readonly<Record<string, string>>) {
  const folder = yield* temporaryFolder
  yield* Effect.promise(async () => {
    for (const [file, text] of Object.entries({ "src/CONTRACT.md": "- LK-A1 a\n- LK-A2 b\n", ...files })) {
      await mkdir(dirname(join(folder, file)), { recursive: true })
      await writeFile(join(folder, file), text)
    }
  })
  return yield* run(process.execPath, [join(root, "scripts/check.ts"), folder])
})

// Put together, or the check would take it for an id that this file names.
const unknownId = ["LK", "A99"].join("-")

describe("scripts/check", () => {
  it.live("passes a tree that keeps the rules, and says which promises no test names", () =>
    Effect.gen(function* () {
      const { code, stdout } = yield* check({
        "src/domain/Job.ts": `import * as Schema from "effect/Schema"\nimport type { Place } from "./Place.ts"`,
        "src/lanes/promote.ts": `import { Store } from "../store/Store.ts"\nimport { Job } from "../domain/Job.ts"`,
        "src/index.ts": `export { Worker } from "./roles/worker.ts"`,
        "test/Job.test.ts": `it("does it [LK-A2]")`
      })
      assert.strictEqual(code, 0, stdout)
      assert.strictEqual(stdout, "1 of 2 promises are named in tests; not yet: A1\n")
    })
  )

  const violations = [
    [
      "an import that points up",
      "src/store/Store.ts",
      `import { x } from "../Client.ts"`,
      "src/Client.ts, which is above it"
    ],
    [
      "one that does so lazily",
      "src/Wakeup.ts",
      `await import("./roles/worker.ts")`,
      "src/roles/worker.ts, which is above it"
    ],
    ["one that does so for a type", "src/lanes/a.ts", `import type { x } from "../cli/b.ts"`, "which is above it"],
    ["a barrel", "src/Heartbeat.ts", `import { Effect } from "effect"`, `the barrel "effect"`],
    ["a barrel of a part", "src/Telemetry.ts", `import { Command } from "effect/cli"`, `the barrel "effect/cli"`],
    ["words that need more than effect", "src/domain/Job.ts", `import "node:fs"`, `"node:fs": words need only effect`],
    ["a folder without a floor", "src/utils/a.ts", "", "stands on no floor"],
    ["a stranger at the top level", "notes.md", "", "notes.md does not belong"],
    [
      "a lock that npm ci would refuse",
      "package-lock.json",
      JSON.stringify({ packages: { "node_modules/a": { optionalDependencies: { "a-darwin-x64": "1.0.0" } } } }),
      "lacks a-darwin-x64"
    ],
    ["an id that the contract does not have", "test/a.test.ts", unknownId, `names ${unknownId}`]
  ] as const

  it.live("catches what breaks them", () =>
    Effect.gen(function* () {
      const { code, stdout } = yield* check(Object.fromEntries(violations.map(([, file, text]) => [file, text])))
      assert.strictEqual(code, 1)
      const faults = stdout.trim().split("\n").slice(1)
      assert.lengthOf(faults, violations.length, stdout)
      for (const [what, file, , complaint] of violations) {
        const caught = faults.some((fault) => fault.includes(file) && fault.includes(complaint))
        assert.isTrue(caught, `${what} is not in\n${stdout}`)
      }
    })
  )
})
