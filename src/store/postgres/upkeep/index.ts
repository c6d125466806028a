/** What maintenance asks of the store beside moves. */
import type { PgClient } from "@effect/sql-pg/PgClient"
import type { Upkeep } from "../../Upkeep.ts"
import { lifting } from "./aging.ts"
import type { Store } from "../../Store.ts"
import { reconciling } from "./reconcile.ts"
import { retiring } from "./retention.ts"
import { counting } from "./stats.ts"
import { reclaiming } from "./storage.ts"

export const upkeeping = (sql: PgClient, schema: string, rescueWorker: Store["Service"]["rescueWorker"]): Upkeep => ({
  ...reclaiming(sql, schema),
  ...retiring(sql, schema),
  ...counting(sql, schema),
  ...lifting(sql, schema),
  ...reconciling(sql, schema, rescueWorker)
})
