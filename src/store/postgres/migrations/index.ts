/** Lists the migrations in order. A released one never changes: a change is the next one. */
import type { Migration } from "../Migrations.ts"

export const migrations: ReadonlyArray<Migration> = []
