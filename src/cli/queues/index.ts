import * as Command from "effect/cli/Command"
import { pause, resume } from "./pause.ts"

export const queues = Command.make("queues").pipe(
  Command.withDescription("Pause queues and resume them"),
  Command.withSubcommands([pause, resume])
)
