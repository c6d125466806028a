/** Runs one benchmark and prints what it found, or lists them all. */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import { parseArgs } from "node:util"
import { print } from "./benchmarks/Benchmark.ts"
import { benchmarks } from "./benchmarks/index.ts"

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    short: { type: "boolean", default: false },
    json: { type: "boolean", default: false },
    seconds: { type: "string" },
    rate: { type: "string" },
    svg: { type: "string" }
  }
})
const chosen = benchmarks.find(({ name }) => name === positionals[0])

const count = (name: string, value: string | undefined) => {
  if (value === undefined || /^[1-9]\d*$/.test(value)) return value === undefined ? undefined : Number(value)
  throw new Error(`--${name} is ${value}: it is a whole number from 1`)
}

const list = Effect.gen(function* () {
  yield* Console.log("usage: scripts/bench <name> [--short] [--json], and what its line says")
  for (const { about, name } of benchmarks) yield* Console.log(`  ${name}  ${about}`)
  if (positionals.length > 0) process.exitCode = 64
})

const run = (benchmark: (typeof benchmarks)[number]) =>
  Effect.scoped(
    Effect.gen(function* () {
      const report = yield* benchmark.run({
        short: values.short,
        seconds: count("seconds", values.seconds),
        rate: count("rate", values.rate),
        svg: values.svg
      })
      yield* Console.log(values.json ? JSON.stringify(report, undefined, 2) : print(report))
    })
  )

NodeRuntime.runMain(chosen === undefined ? list : run(chosen))
