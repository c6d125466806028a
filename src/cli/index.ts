/** Runs the command that was asked for. */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as Effect from "effect/Effect"
import * as Command from "effect/cli/Command"
import { lanekeeper } from "./commands.ts"
import { version } from "../version.ts"
import { endWithOwner, report, teardown } from "./ending.ts"

endWithOwner()

lanekeeper.pipe(
  Command.run({ version }),
  Effect.tapCause(report),
  Effect.provide(NodeServices.layer),
  NodeRuntime.runMain({ disableErrorReporting: true, teardown })
)
