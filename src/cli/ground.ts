/** What a role stands on: the database, its store, who leads and how others are woken. */
import * as PgClient from "@effect/sql-pg/PgClient"
import * as Layer from "effect/Layer"
import type * as Redacted from "effect/Redacted"
import { LeaderElection } from "../LeaderElection.ts"
import { layerPostgres } from "../store/postgres/index.ts"
import { StoreConnections } from "../StoreConnections.ts"
import { Wakeup } from "../Wakeup.ts"

export interface GroundOptions {
  readonly role: string
  readonly url: Redacted.Redacted
  readonly directUrl?: Redacted.Redacted | undefined
  readonly schema: string
  readonly leadership: "lock" | "lease"
}

export const layerGround = ({ directUrl, leadership, role, schema, url }: GroundOptions) => {
  const client = PgClient.layer({
    url,
    applicationName: `lanekeeper ${role}`,
    maxConnections: 1,
    idleTimeout: "5 seconds", // a follower needs it once in a while
    startupParameters: {
      statement_timeout: "35000",
      lock_timeout: "5000",
      idle_in_transaction_session_timeout: "5000"
    }
  })
  const election =
    leadership === "lock" ? LeaderElection.layerAdvisoryLock({ schema, directUrl }) : LeaderElection.layerLease()
  return Layer.mergeAll(
    election,
    StoreConnections.layerPostgres({ schema }),
    Wakeup.layerPostgres({ schema, directUrl })
  ).pipe(Layer.provideMerge(layerPostgres({ schema })), Layer.provide(client))
}
