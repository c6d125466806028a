/** What every role stands on: a store, how others are woken, who leads, and connections of lanes' own. */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Redacted from "effect/Redacted"
import { LeaderElection } from "../LeaderElection.ts"
import * as Settings from "../Settings.ts"
import { layerMemory as storeInMemory } from "../store/memory/index.ts"
import { layerPostgres as storeInPostgres } from "../store/postgres/index.ts"
import { StoreConnections } from "../StoreConnections.ts"
import { Wakeup } from "../Wakeup.ts"

export interface PostgresOptions {
  /** The PostgreSQL schema of this Lanekeeper. Defaults to `lanekeeper`. */
  readonly schema?: string | undefined
  /**
   * A direct connection string for LISTEN and the lock of leaders, when the client goes through a pooler. Defaults to
   * the client's own.
   */
  readonly directUrl?: Redacted.Redacted | undefined
  /**
   * `lock` needs a direct connection, and hands over at once. `lease` works where only single statements get through.
   * The same in every process of a schema. Defaults to `lock`.
   */
  readonly leadership?: "lock" | "lease" | undefined
}

/** The store in the database of the app's own `PgClient`, so that enqueueing joins the app's transactions. */
export const layerPostgres = (options: PostgresOptions = {}) =>
  Layer.mergeAll(
    options.leadership === "lease" ? LeaderElection.layerLease() : LeaderElection.layerAdvisoryLock(options),
    StoreConnections.layerPostgres(options),
    Wakeup.layerPostgres(options)
  ).pipe(Layer.provideMerge(storeInPostgres(options)))

/** The same, as the environment says: LANEKEEPER_SCHEMA, LANEKEEPER_DIRECT_URL, LANEKEEPER_LEADERSHIP. */
export const layerPostgresConfig = Layer.unwrap(
  Effect.map(
    Settings.read({ schema: Settings.schema, directUrl: Settings.directUrl, leadership: Settings.leadership }),
    layerPostgres
  )
)

/** The store in memory, for tests: nothing outlives it. */
export const layerMemory = Layer.mergeAll(
  LeaderElection.layerLease(),
  StoreConnections.layerShared,
  Wakeup.layerLocal
).pipe(Layer.provideMerge(storeInMemory))
