/** Runs a command in this process, and answers what it printed and how it ended. */
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Command from "effect/cli/Command"
import { lanekeeper } from "../../src/cli/commands.ts"

const running = Command.runWith(lanekeeper, { version: "0.0.0" })

export const runCommand = Effect.fnUntraced(function* (
  args: ReadonlyArray<string>,
  env: Readonly<Record<string, string>>
) {
  const out: Array<string> = []
  const err: Array<string> = []
  const console: Console.Console = Object.assign(Object.create(globalThis.console), {
    log: (...texts: ReadonlyArray<unknown>) => void out.push(texts.join(" ")),
    error: (...texts: ReadonlyArray<unknown>) => void err.push(texts.join(" "))
  })
  const exit = yield* running(args).pipe(
    Effect.provideService(Console.Console, console),
    Effect.provide(Layer.merge(NodeServices.layer, ConfigProvider.layer(ConfigProvider.fromEnv({ env })))),
    Effect.exit
  )
  return { stdout: out.join("\n"), stderr: err.join("\n"), exit, succeeded: Exit.isSuccess(exit) }
})
