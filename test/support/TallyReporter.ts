/**
 * Writes what `scripts/test` prints last: how many tests passed and failed. What could not run at all has failed.
 * Before it stand the counts that tests print of what they ran: how many orders, how many sequences.
 */
import { writeFileSync } from "node:fs"
import type { UserConsoleLog } from "vitest"
import type { Reporter, SerializedError, TestModule } from "vitest/node"

export interface Tally {
  readonly passed: number
  readonly failed: number
}

export default class TallyReporter implements Reporter {
  private orders = 0
  private meetings = 0
  private readonly sequences: Array<string> = []

  onUserConsoleLog({ content }: UserConsoleLog) {
    const [, orders, meetings] = /^(\d+) orders of (\d+) meetings/.exec(content) ?? []
    this.orders += Number(orders ?? 0)
    this.meetings += Number(meetings ?? 0)
    if (/^\d+ sequences,/.test(content)) this.sequences.push(content.trim())
  }

  onTestRunEnd(modules: ReadonlyArray<TestModule>, errors: ReadonlyArray<SerializedError>) {
    const ran = [...(this.orders > 0 ? [`${this.orders} orders of ${this.meetings} meetings`] : []), ...this.sequences]
    if (ran.length > 0) console.log(`${ran.join("\n")}\n`)
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
