import * as Command from "effect/cli/Command"
import { cancel } from "./cancel.ts"
import { enqueue } from "./enqueue.ts"
import { explain } from "./explain.ts"
import { list } from "./list.ts"
import { move } from "./move.ts"
import { retry } from "./retry.ts"
import { show } from "./show.ts"

export const jobs = Command.make("jobs").pipe(
  Command.withDescription("See jobs, enqueue them, and move them"),
  Command.withSubcommands([list, show, enqueue, retry, cancel, move, explain])
)
