/** Runs one benchmark and prints what it found, or lists them all. */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import { parseArgs } from "node:util"
import { print } from "./benchmarks/Benchmark.ts"
import { benchmarks } from "./benchmarks/index.ts"

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: { short: { type: "boolean", default: false }, json: { type: "boolean", default: false } }
})
const chosen = benchmarks.find(({ name }) => name === positionals[0])

const list = Effect.gen(function* () {
  yield* Console.log("usage: scripts/bench <name> [--short] [--json]")
  for (const { about, name } of benchmarks) yield* Console.log(`  ${name}  ${about}`)
  if (positionals.length > 0) process.exitCode = 64
})

const run = (benchmark: (typeof benchmarks)[number]) =>
  Effect.scoped(
    Effect.gen(function* () {
      const report = yield* benchmark.run({ short: values.short })
      yield* Console.log(values.json ? JSON.stringify(report, undefined, 2) : print(report))
    })
  )

NodeRuntime.runMain(chosen === undefined ? list : run(chosen))
