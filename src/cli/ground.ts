/** The ground of a role that is a process of its own. */
import * as PgClient from "@effect/sql-pg/PgClient"
import * as Duration from "effect/Duration"
import * as Layer from "effect/Layer"
import type * as Redacted from "effect/Redacted"
import { layerPostgres, type PostgresOptions } from "../roles/ground.ts"

export interface GroundOptions extends PostgresOptions {
  readonly role: string
  readonly url: Redacted.Redacted
}

/** Few connections, each with its limits: nobody's code but ours runs on them. */
export const layerGround = ({ role, url, ...options }: GroundOptions) =>
  layerPostgres(options).pipe(
    Layer.provideMerge(
      PgClient.layer({
        url,
        applicationName: `lanekeeper ${role}`,
        maxConnections: 1,
        idleTimeout: "400 millis", // gone before hygiene opens its own: a leader has five in all
        startupParameters: {
          statement_timeout: "35000",
          lock_timeout: "5000",
          jit: "off", // as for lanes: recovery and tick run them here
          idle_in_transaction_session_timeout: "5000"
        }
      })
    )
  )

export interface WorkerGroundOptions extends PostgresOptions {
  readonly url: Redacted.Redacted
  readonly connections: number
  readonly staleAfter: Duration.Duration
}

/** With connections for handlers. How long their statements may take is theirs to say. */
export const layerWorkerGround = ({ connections, staleAfter, url, ...options }: WorkerGroundOptions) =>
  layerPostgres(options).pipe(
    Layer.provideMerge(
      PgClient.layer({
        url,
        applicationName: "lanekeeper handlers",
        maxConnections: connections,
        startupParameters: {
          // A transaction that completes its job holds what a rescue waits for: a frozen process must let go of it.
          idle_in_transaction_session_timeout: `${Duration.toMillis(staleAfter)}`
        }
      })
    )
  )
