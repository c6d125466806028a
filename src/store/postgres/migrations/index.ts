/** Lists the migrations in order. A released one never changes: a change is the next one. */
import type { Migration } from "../Migrations.ts"
import { jobs } from "./jobs/index.ts"
import { maintenance } from "./maintenance.ts"
import { notes } from "./notes.ts"
import { producers } from "./producers/index.ts"
import { upkeep } from "./upkeep.ts"

export const migrations: ReadonlyArray<Migration> = [jobs, producers, maintenance, upkeep, notes]
