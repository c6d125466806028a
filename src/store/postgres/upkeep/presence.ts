/** Says who is there: workers, and processes that only maintain. */
import type { PgClient } from "@effect/sql-pg/PgClient"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { ProcessRow, Upkeep } from "../../Upkeep.ts"

export const attending = (sql: PgClient, schema: string): Pick<Upkeep, "processes"> => {
  const processes = `
    SELECT id, name, role, version, lanes, declared_dead_at IS NOT NULL AS "declaredDead",
      (extract(epoch FROM clock_timestamp() - beat_at) * 1000)::float8 AS age,
      declared_dead_at IS NULL AND coalesce(worker.holder = leader.holder, false) AS leads
    FROM ${schema}.worker CROSS JOIN ${schema}.leader ORDER BY id`
  return {
    processes: Effect.map(
      sql.unsafe<Omit<ProcessRow, "beatAge" | "version"> & { readonly age: number; readonly version: string | null }>(
        processes
      ),
      (rows) =>
        rows.map(({ age, version, ...row }) => ({
          ...row,
          version: Option.fromNullOr(version),
          beatAge: Duration.millis(age)
        }))
    )
  }
}
