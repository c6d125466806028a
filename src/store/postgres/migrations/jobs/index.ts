import type { Migration } from "../../Migrations.ts"
import { bury } from "./bury.ts"
import { claim, firstJobs } from "./claim.ts"
import { endAttempts } from "./endAttempts.ts"
import { enqueueMany } from "./enqueueMany.ts"
import { estimates } from "./estimates.ts"
import { outbox } from "./outbox.ts"
import { tables } from "./tables.ts"
import { take } from "./take.ts"
import { turns } from "./turns.ts"
import { unhandled } from "./unhandled.ts"
import { view } from "./view.ts"

export const jobs: Migration = {
  version: 1,
  name: "jobs",
  oldest: 1,
  statements: (schema) => [
    ...tables(schema),
    ...estimates(schema),
    enqueueMany(schema),
    ...outbox(schema),
    turns(schema),
    unhandled(schema),
    firstJobs(schema),
    claim(schema),
    bury(schema),
    endAttempts(schema),
    take(schema),
    view(schema)
  ]
}
