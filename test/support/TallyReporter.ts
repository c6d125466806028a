/** Writes what `scripts/test` prints last: how many tests passed and failed. What could not run at all has failed. */
import { writeFileSync } from "node:fs"
import type { Reporter, SerializedError, TestModule } from "vitest/node"

export interface Tally {
  readonly passed: number
  readonly failed: number
}

export default class TallyReporter implements Reporter {
  onTestRunEnd(modules: ReadonlyArray<TestModule>, errors: ReadonlyArray<SerializedError>) {
    const file = process.env["LANEKEEPER_TALLY"]
    if (file === undefined) return
    const tests = modules.flatMap((module) => [...module.children.allTests()])
    const passed = tests.filter((test) => test.result().state === "passed").length
    // A skipped test proves nothing, and a file that does not load holds no tests to count.
    const unloaded = modules.filter((module) => module.errors().length > 0).length
    const tally: Tally = { passed, failed: tests.length - passed + unloaded + errors.length }
    writeFileSync(file, JSON.stringify(tally))
  }
}
