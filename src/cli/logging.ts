/** Writes the log as it was asked for: to people on a terminal, in lines for machines elsewhere. */
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Flag from "effect/cli/Flag"
import * as GlobalFlag from "effect/cli/GlobalFlag"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Predicate from "effect/Predicate"
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

/** A sentence and its fields, whether they were given with it or hold for all that is logged around it. */
const fieldsOf = (entry: Logger.Options<unknown>): Readonly<Record<string, unknown>> => {
  const { annotations, cause, fiberId: _, level, message, spans, timestamp } = Logger.formatStructured.log(entry)
  const parts: ReadonlyArray<unknown> = Array.isArray(message) ? message : [message]
  const given = parts.filter((part) => Predicate.isReadonlyObject(part))
  return {
    time: timestamp,
    level,
    message: parts.filter((part) => !Predicate.isReadonlyObject(part)).join(" "),
    ...annotations,
    ...Object.assign({}, ...given),
    ...spans,
    ...(cause === undefined ? {} : { cause })
  }
}

const json = (value: unknown) =>
  JSON.stringify(value, (_, part: unknown) => (typeof part === "bigint" ? String(part) : part))

const logfmt = (fields: Readonly<Record<string, unknown>>) =>
  Object.entries(fields)
    .map(([name, value]) => {
      const text = typeof value === "object" ? (json(value) ?? "") : String(value)
      return `${name}=${/^[^\s"=]+$/.test(text) ? text : JSON.stringify(text)}`
    })
    .join(" ")

/** Commands that answer something keep stdout for the answer; a role that serves has nothing else to say there. */
const toConsole = (format: (fields: Readonly<Record<string, unknown>>) => string) =>
  Logger.make<unknown, void>((entry) => {
    const line = format(fieldsOf(entry))
    const console = entry.fiber.getRef(Console.Console)
    if (entry.fiber.getRef(Logger.LogToStderr)) console.error(line)
    else console.log(line)
  })

export const layerLog = Layer.unwrap(
  Effect.gen(function* () {
    const { format } = yield* Settings.read({ format: Settings.logFormat }, { format: yield* logFormat })
    const isPretty = format === "pretty" || (format === "auto" && process.stdout.isTTY === true)
    const pretty = Logger.consolePretty({ colors: hasColours() })
    const logger = isPretty ? pretty : toConsole(format === "json" ? json : logfmt)
    return Layer.merge(Logger.layer([logger]), Layer.succeed(Logger.LogToStderr, true))
  })
)
