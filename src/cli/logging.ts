/** Writes the log as it was asked for: to people on a terminal, in lines for machines elsewhere. */
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Flag from "effect/cli/Flag"
import * as GlobalFlag from "effect/cli/GlobalFlag"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Settings from "../Settings.ts"
import { hasColours } from "./table.ts"

export const logFormat = GlobalFlag.Setting("log-format")({
  flag: Flag.Literals("log-format", ["auto", "pretty", "logfmt", "json"]).pipe(
    Flag.withDescription(
      `How the log is written; else ${Settings.logFormat.variable}, else ${Settings.logFormat.fallback.shown}`
    ),
    Flag.optional
  )
})

/** Where the log goes is the command's matter: those that answer something keep stdout for the answer. */
const toConsole = (format: Logger.Logger<unknown, string>) =>
  Logger.make<unknown, void>((entry) => {
    const line = format.log(entry)
    const console = entry.fiber.getRef(Console.Console)
    if (entry.fiber.getRef(Logger.LogToStderr)) console.error(line)
    else console.log(line)
  })

export const layerLog = Layer.unwrap(
  Effect.gen(function* () {
    const { format } = yield* Settings.read({ format: Settings.logFormat }, { format: yield* logFormat })
    const isPretty = format === "pretty" || (format === "auto" && process.stdout.isTTY === true)
    return Logger.layer([
      isPretty
        ? Logger.consolePretty({ colors: hasColours() })
        : toConsole(format === "json" ? Logger.formatJson : Logger.formatLogFmt)
    ])
  })
)
