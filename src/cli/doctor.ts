import * as Command from "effect/cli/Command"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Runtime from "effect/Runtime"
import * as Schema from "effect/Schema"
import type { Finding } from "../Doctor.ts"
import * as Settings from "../Settings.ts"
import { counted } from "../texts.ts"
import { jsonFlag, schemaFlag } from "./flags.ts"
import type { Diagnosis } from "./shapes.ts"
import { hasColours, oneLine } from "./table.ts"

/** It said what is wrong; this says that something is. */
export class Unwell extends Schema.TaggedError<Unwell>()("Unwell", { wrong: Schema.Int }) {
  override readonly [Runtime.errorExitCode] = 1

  override get message() {
    return `${counted(this.wrong, "thing")} ${this.wrong === 1 ? "is" : "are"} wrong`
  }
}

export const doctor = Command.make(
  "doctor",
  { schema: schemaFlag, json: jsonFlag },
  Effect.fn(function* (flags) {
    const { url, ...options } = yield* Settings.read(
      { ...Settings.storeSettings, staleAfter: Settings.staleAfter },
      flags
    )
    const PgClient = yield* Effect.promise(() => import("@effect/sql-pg/PgClient"))
    const { examine, isHealthy } = yield* Effect.promise(() => import("../Doctor.ts"))
    const { lanes } = yield* Effect.promise(() => import("../lanes/index.ts"))
    const findings = yield* examine({ ...options, lanes }).pipe(
      Effect.provide(PgClient.layer({ url, applicationName: "lanekeeper doctor", maxConnections: 1 }))
    )
    const told: typeof Diagnosis.Type = { healthy: isHealthy(findings), findings }
    yield* Console.log(flags.json ? JSON.stringify(told) : findings.map(line).join("\n"))
    const wrong = findings.filter(({ verdict }) => verdict === "wrong").length
    if (wrong > 0) return yield* new Unwell({ wrong })
  })
).pipe(
  Command.withDescription(
    "Examine the database and all that works on it, and say what to do about what is wrong. Exits with 1 when something is"
  ),
  Command.withExamples([{ command: "lanekeeper doctor --json", description: "For a script, or a report" }])
)

const marks = { fine: ["ok", 32], notice: ["note", 33], wrong: ["WRONG", 31] } as const

const line = ({ cause, check, remedy, verdict }: Finding) => {
  const [mark, colour] = marks[verdict]
  const padded = mark.padEnd(5)
  const shown = hasColours() ? `\u001b[${colour}m${padded}\u001b[39m` : padded
  const head = `${shown}  ${check.padEnd(13)}  ${oneLine(cause)}`
  return remedy === null ? head : `${head}\n${" ".repeat(22)}→ ${oneLine(remedy)}`
}
