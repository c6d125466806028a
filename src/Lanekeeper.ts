/** The layers an app provides. Each role is one of them; all stand on a store. */
import * as Layer from "effect/Layer"
import type * as Redacted from "effect/Redacted"
import { Client } from "./Client.ts"
import { layerMemory as storeInMemory } from "./store/memory/index.ts"
import { layerPostgres as storeInPostgres } from "./store/postgres/index.ts"
import { Wakeup } from "./Wakeup.ts"

export interface PostgresOptions {
  /** The PostgreSQL schema of this Lanekeeper. Defaults to `lanekeeper`. */
  readonly schema?: string | undefined
  /** A direct connection string for LISTEN, when the client goes through a pooler. Defaults to the client's own. */
  readonly directUrl?: Redacted.Redacted | undefined
}

/** The store in the database of the app's own `PgClient`, so that enqueueing joins the app's transactions. */
export const layerPostgres = (options: PostgresOptions = {}) =>
  Layer.merge(storeInPostgres(options), Wakeup.layerPostgres(options))

/** The store in memory, for tests: nothing outlives it. */
export const layerMemory = Layer.merge(storeInMemory, Wakeup.layerLocal)

/** The client role: enqueues and reads, and does nothing else. */
export const layerClient = Client.layer
