/** Runs the steps of `scripts/test`, those that do not need each other at the same time, and counts what failed. */
import { spawn } from "node:child_process"
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { parseArgs } from "node:util"
import type { Tally } from "../test/support/TallyReporter.ts"

interface Step {
  readonly name: string
  readonly command: ReadonlyArray<string>
}

const bin = (name: string) => join("node_modules", ".bin", name)

const building: Step = { name: "build", command: ["scripts/setup"] }

const checks: ReadonlyArray<Step> = [
  { name: "format", command: [bin("oxfmt"), "--check", "."] },
  { name: "lint", command: [bin("oxlint"), "--deny-warnings", "."] },
  { name: "types", command: [bin("tsc"), "-p", "test/tsconfig.json"] },
  { name: "house rules", command: [process.execPath, "scripts/check.ts"] }
]

/** Runs one step and prints what it wrote, in one piece, when it failed or has something to say. */
const run = (step: Step) =>
  new Promise<boolean>((resolve) => {
    const [command = "", ...args] = step.command
    const child = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"] })
    let output = ""
    child.stdout.on("data", (chunk) => (output += chunk))
    child.stderr.on("data", (chunk) => (output += chunk))
    child.on("error", (error) => (output += error.message))
    child.on("close", (code) => {
      if (code !== 0 || step.name === "house rules") console.log(output.trim())
      if (code !== 0) console.log(`FAILED: ${step.name}`)
      resolve(code === 0)
    })
  })

const runTests = (args: ReadonlyArray<string>, postgres: string | undefined) =>
  new Promise<Tally>((resolve) => {
    const folder = mkdtempSync(join(tmpdir(), "lanekeeper-tally-"))
    const file = join(folder, "tally.json")
    const env = {
      ...process.env,
      LANEKEEPER_TALLY: file,
      ...(postgres === undefined ? {} : { LANEKEEPER_TEST_POSTGRES: postgres })
    }
    const vitest = [
      "node_modules/vitest/vitest.mjs",
      "run",
      "--config",
      "test/vitest.config.ts",
      "--root",
      ".",
      ...args
    ]
    const child = spawn(process.execPath, vitest, { stdio: ["ignore", "inherit", "inherit"], env })
    // Ctrl-C reaches vitest by itself; this process stays to the end to say how far it came.
    process.on("SIGINT", () => {})
    process.on("SIGTERM", () => child.kill("SIGTERM"))
    child.on("close", (code) => {
      const tally: Tally = existsSync(file) ? JSON.parse(readFileSync(file, "utf8")) : { passed: 0, failed: 0 }
      rmSync(folder, { recursive: true })
      resolve(code !== 0 && tally.failed === 0 ? { ...tally, failed: 1 } : tally)
    })
  })

const binariesOf = (choice: string) => (choice.includes("/") ? choice : `/usr/lib/postgresql/${choice}/bin`)

const { tokens, values } = parseArgs({
  options: { postgres: { type: "string" } },
  strict: false,
  tokens: true
})
const postgres = typeof values.postgres === "string" ? binariesOf(values.postgres) : undefined
const forVitest = tokens
  .filter((token) => !(token.kind === "option" && token.name === "postgres"))
  .map((token) => (token.kind === "positional" ? token.value : token.kind === "option" ? token.rawName : "--"))

if (postgres !== undefined && !existsSync(join(postgres, "postgres"))) {
  console.log(`There is no PostgreSQL server in ${postgres}: install it, or name the folder that holds it.`)
  console.log("0 passed, 1 failed")
  process.exit(1)
}

// The checks run beside the tests: those wait for servers and processes more than they compute.
const built = run(building)
const results = Promise.all([built, ...checks.map(run)])
const tests = (await built) ? await runTests(forVitest, postgres) : { passed: 0, failed: 0 }
const failed = tests.failed + (await results).filter((ok) => !ok).length
console.log(`${tests.passed} passed, ${failed} failed`)
process.exit(failed === 0 ? 0 : 1)
