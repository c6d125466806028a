import * as Command from "effect/cli/Command"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Settings from "../../Settings.ts"
import { jobId, jsonFlag, schemaFlag } from "../flags.ts"
import type { Explanation } from "../shapes.ts"
import { withStore } from "../store.ts"
import { oneLine } from "../table.ts"

export const explain = Command.make(
  "explain",
  { id: jobId, schema: schemaFlag, json: jsonFlag },
  Effect.fn(function* (flags) {
    const { staleAfter } = yield* Settings.read({ staleAfter: Settings.staleAfter })
    const { explain } = yield* Effect.promise(() => import("../../explain.ts"))
    const { job, reasons } = yield* withStore("jobs", flags, explain(flags.id, { staleAfter }))
    const told: typeof Explanation.Type = { id: job.id, place: job.place, reasons }
    if (flags.json) return yield* Console.log(JSON.stringify(told))
    yield* Console.log(`${job.id} is ${job.place}`)
    for (const { cause, remedy } of reasons) {
      yield* Console.log(`\n${oneLine(cause)}`)
      if (remedy !== null) yield* Console.log(`  → ${oneLine(remedy)}`)
    }
  })
).pipe(
  Command.withDescription("Say why a job is not running, and what to do about it"),
  Command.withExamples([{ command: "lanekeeper jobs explain 3-1742", description: "Why does it wait?" }])
)
