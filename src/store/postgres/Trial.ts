/** A schema of its own for a measurement: made, migrated, and dropped with the scope, whatever happened meanwhile. */
import type { PgClient } from "@effect/sql-pg/PgClient"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { randomBytes } from "node:crypto"
import { explain, requireServer, rootMessage } from "./DatabaseError.ts"
import { gather } from "./facts.ts"
import * as Migrations from "./Migrations.ts"
import { quoted, SchemaName } from "./SchemaName.ts"

/** The database is no place for it. Nothing was changed. */
export class TrialRefused extends Schema.TaggedError<TrialRefused>()("TrialRefused", {
  reason: Schema.String,
  remedy: Schema.String
}) {
  override get message() {
    return `${this.reason}: ${this.remedy}`
  }
}

interface Durability {
  readonly fsync: string
  readonly synchronousCommit: string
  readonly mayCreate: boolean
  readonly database: string
}

/** `connections` is how many the measurement will open. */
export const make = Effect.fnUntraced(function* (sql: PgClient, connections: number) {
  const schema = SchemaName.make(`lanekeeper_bench_${randomBytes(4).toString("hex")}`)
  const looking = Effect.gen(function* () {
    yield* requireServer(sql)
    const [durability] = yield* sql<Durability>`
      SELECT current_setting('fsync') AS fsync, current_setting('synchronous_commit') AS "synchronousCommit",
        has_database_privilege(current_database(), 'CREATE') AS "mayCreate", current_database() AS database`
    return { ...durability!, server: (yield* gather(sql, schema, Duration.minutes(1))).server }
  })
  const { database, mayCreate, server, ...durable } = yield* looking.pipe(explain(sql, "use a login that may read it"))
  if (server.readOnly) {
    const remedy = "point DATABASE_URL at the primary"
    return yield* new TrialRefused({ reason: "The server takes no writes: it is a standby, or read-only", remedy })
  }
  if (!mayCreate) {
    return yield* new TrialRefused({
      reason: `This login may not create a schema in ${database}, and a measurement needs one of its own`,
      remedy: `use a login that may, or grant it CREATE ON DATABASE ${database} for as long as it takes`
    })
  }
  if (server.connectionsLeft < connections) {
    return yield* new TrialRefused({
      reason: `The ${server.boundBy} has ${server.connectionsLeft} connections left, and ${connections} are needed`,
      remedy: "ask for fewer producers, or free some"
    })
  }
  yield* Effect.acquireRelease(Migrations.migrate({ schema }), () => drop(sql, schema))
  const ended = sql.unsafe<{ readonly ended: number }>(
    `SELECT count(*)::int AS ended FROM ${quoted(schema)}.attempt_end`
  )
  return {
    schema,
    version: server.version,
    ...durable,
    /** How many attempts have ended. */
    ended: Effect.map(ended, ([row]) => row!.ended)
  }
})

const drop = (sql: PgClient, schema: SchemaName) =>
  sql
    .unsafe(`DROP SCHEMA ${quoted(schema)} CASCADE`)
    .pipe(
      Effect.catchTag("SqlError", (error) =>
        Effect.logError(
          `The schema ${schema} is still there (${rootMessage(error)}): run DROP SCHEMA ${schema} CASCADE`
        )
      )
    )
