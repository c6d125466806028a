import * as Command from "effect/cli/Command"
import { list } from "./list.ts"
import { pause, resume } from "./pause.ts"

export const queues = Command.make("queues").pipe(
  Command.withDescription("See queues, pause them and resume them"),
  Command.withSubcommands([list, pause, resume])
)
