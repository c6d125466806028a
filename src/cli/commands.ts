/** Lists the commands. Adding one is one file and one line here. */
import * as Command from "effect/cli/Command"
import { bench } from "./bench/index.ts"
import { config } from "./config.ts"
import { dead } from "./dead/index.ts"
import { dev } from "./dev/index.ts"
import { doctor } from "./doctor.ts"
import { jobs } from "./jobs/index.ts"
import { lanes } from "./lanes.ts"
import { layerLog, logFormat } from "./logging.ts"
import { maintenance } from "./maintenance.ts"
import { migrate } from "./migrate.ts"
import { rows } from "../roles/duties.ts"
import { queues } from "./queues/index.ts"
import { table } from "./table.ts"
import { tick } from "./tick.ts"
import { worker } from "./worker.ts"
import { workers } from "./workers.ts"

const indented = (text: string) => text.replaceAll("\n", "\n  ")

const commands = [
  dev,
  migrate,
  worker,
  maintenance,
  tick,
  jobs,
  queues,
  dead,
  workers,
  lanes,
  doctor,
  bench,
  config
] as const

export const lanekeeper = Command.make("lanekeeper").pipe(
  Command.withDescription(`Durable background jobs on PostgreSQL\n\n  ${indented(table(rows))}`),
  Command.withSubcommands(commands),
  Command.provide(layerLog),
  Command.withGlobalFlags([logFormat])
)
