import * as Command from "effect/cli/Command"
import { purge, redrive } from "./drive.ts"
import { list } from "./list.ts"

export const dead = Command.make("dead").pipe(
  Command.withDescription("See dead jobs, drive them again, or delete them"),
  Command.withSubcommands([list, redrive, purge])
)
