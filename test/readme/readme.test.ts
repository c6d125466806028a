import { assert, describe, it } from "@effect/vitest"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { root } from "../support/processes.ts"

describe("The README", () => {
  it("shows the test that is run here, word for word [LK-O3]", () => {
    const readme = readFileSync(join(root, "README.md"), "utf8")
    const example = /## Test your jobs.*?```ts\n(.*?)```/s.exec(readme)?.[1]
    assert.strictEqual(readFileSync(join(root, "test/readme/testing.test.ts"), "utf8"), example)
  })
})
