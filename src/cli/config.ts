import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Settings from "../Settings.ts"
import { jsonFlag, schemaFlag } from "./flags.ts"
import type { Configuration, SettingsList } from "./shapes.ts"
import { table } from "./table.ts"

export const config = Command.make(
  "config",
  {
    schema: schemaFlag,
    list: Flag.Boolean("list").pipe(Flag.withDescription("Print what there is to set"), Flag.withDefault(false)),
    json: jsonFlag
  },
  Effect.fn(function* (flags) {
    if (flags.list) {
      return yield* Console.log(flags.json ? JSON.stringify(described) : table(described.map(rowOf)))
    }
    const held = yield* Effect.forEach(Settings.all, (setting) =>
      Settings.look(setting, setting === Settings.schema ? flags.schema : Option.none())
    )
    const { configure } = yield* Effect.promise(() => import("../lanes/Configured.ts"))
    const faults = held.flatMap(({ value }) => Option.toArray(Result.getFailure(value)))
    const told: typeof Configuration.Type = {
      settings: held.map((one) => ({
        variable: one.setting.variable,
        value: Settings.shown(one),
        from: one.source,
        fault: Option.getOrNull(Result.getFailure(one.value))
      })),
      unknown: Object.keys(process.env).filter(isUnknown)
    }
    yield* Console.log(
      flags.json
        ? JSON.stringify(told)
        : table(told.settings.map(({ from, value, variable }) => ({ variable, value, from })))
    )
    if (!flags.json && told.unknown.length > 0) yield* Console.log(`\nNobody reads ${told.unknown.join(", ")}`)
    if (faults.length > 0) return yield* new Settings.ConfigurationFault({ faults })
    yield* configure(yield* Settings.read(Settings.laneSettings))
  })
).pipe(
  Command.withDescription("Show what is configured and who said so. Passwords are hidden"),
  Command.withExamples([
    { command: "lanekeeper config", description: "What holds here" },
    { command: "lanekeeper config --list", description: "What there is to set, and its defaults" }
  ])
)

const isUnknown = (name: string) =>
  name.startsWith("LANEKEEPER_") &&
  !["LANEKEEPER_HANDED_OVER", "LANEKEEPER_OWNED"].includes(name) && // set by ourselves for ourselves
  !Settings.all.some(({ variable }) => variable === name)

const described: typeof SettingsList.Type = Settings.all.map(
  ({ fallback, flag = null, meaning, option = null, readers, variable }) => ({
    variable,
    option,
    flag,
    meaning,
    default: fallback.shown,
    readers
  })
)

const rowOf = (setting: (typeof described)[number]) => ({
  variable: setting.variable,
  "in code": setting.option ?? "",
  flag: setting.flag ?? "",
  default: setting.default,
  meaning: setting.meaning,
  "read by": setting.readers
})
