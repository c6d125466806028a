/** The ground of a role that is a process of its own: few connections, each with its limits. */
import * as PgClient from "@effect/sql-pg/PgClient"
import * as Layer from "effect/Layer"
import type * as Redacted from "effect/Redacted"
import { layerPostgres, type PostgresOptions } from "../roles/ground.ts"

export interface GroundOptions extends PostgresOptions {
  readonly role: string
  readonly url: Redacted.Redacted
}

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
          idle_in_transaction_session_timeout: "5000"
        }
      })
    )
  )
