/** What maintenance asks of the store beside moves. */
import type { PgClient } from "@effect/sql-pg/PgClient"
import * as Effect from "effect/Effect"
import type { Store } from "../../Store.ts"
import type { Upkeep } from "../../Upkeep.ts"
import { texts } from "../parameters.ts"
import { quoted, type SchemaName, wakeChannel } from "../SchemaName.ts"
import { lifting } from "./aging.ts"
import { mending } from "./indexes.ts"
import { attending } from "./presence.ts"
import { reconciling } from "./reconcile.ts"
import { retiring } from "./retention.ts"
import { counting } from "./stats.ts"
import { reclaiming } from "./storage.ts"

export const upkeeping = (sql: PgClient, name: SchemaName, rescueWorker: Store["Service"]["rescueWorker"]): Upkeep => {
  const schema = quoted(name)
  const notify = `SELECT pg_notify($1, queue) FROM unnest($2::text[]) AS queue`
  return {
    ...reclaiming(sql, schema),
    ...retiring(sql, schema),
    ...counting(sql, schema),
    ...lifting(sql, schema),
    ...mending(sql, schema),
    ...attending(sql, schema),
    ...reconciling(sql, schema, rescueWorker),
    announce: (queues) => Effect.asVoid(sql.unsafe(notify, [wakeChannel(name), texts(queues)]))
  }
}
