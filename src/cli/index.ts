/** Lists the commands and runs the one that was asked for. Adding a command is one file and one line here. */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as Effect from "effect/Effect"
import * as Command from "effect/cli/Command"
import { readFileSync } from "node:fs"
import { lanes } from "./lanes.ts"
import { maintenance } from "./maintenance.ts"
import { migrate } from "./migrate.ts"
import { report, teardown } from "./ending.ts"
import { tick } from "./tick.ts"

const commands = [migrate, maintenance, tick, lanes] as const

const { version } = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8"))

Command.make("lanekeeper").pipe(
  Command.withDescription("Durable background jobs on PostgreSQL"),
  Command.withSubcommands(commands),
  Command.run({ version }),
  Effect.tapCause(report),
  Effect.provide(NodeServices.layer),
  NodeRuntime.runMain({ disableErrorReporting: true, teardown })
)
