import type { Migration } from "../../Migrations.ts"
import { enqueue } from "./enqueue.ts"
import { enqueueUnique } from "./enqueueUnique.ts"

export const producers: Migration = {
  version: 2,
  name: "producers",
  oldest: 1,
  statements: (schema) => [...enqueueUnique(schema), enqueue(schema)]
}
