import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import type { Report } from "../store/postgres/Migrations.ts"
import { configured, databaseUrl, schemaFlag, schemaName } from "./configuration.ts"

export const migrate = Command.make(
  "migrate",
  {
    schema: schemaFlag,
    sql: Flag.Boolean("sql").pipe(Flag.withDescription("Print the SQL instead of running it"), Flag.withDefault(false))
  },
  Effect.fn(function* (flags) {
    const Migrations = yield* Effect.promise(() => import("../store/postgres/Migrations.ts"))
    if (flags.sql) {
      return yield* Console.log(Migrations.toSql(yield* configured({ schema: schemaName(flags.schema) })).trimEnd())
    }
    const { schema, url } = yield* configured({ url: databaseUrl, schema: schemaName(flags.schema) })
    const PgClient = yield* Effect.promise(() => import("@effect/sql-pg/PgClient"))
    const report = yield* Migrations.migrate({ schema }).pipe(
      Effect.provide(PgClient.layer({ url, applicationName: "lanekeeper migrate", maxConnections: 1 }))
    )
    return yield* Console.log(sentence(report))
  })
).pipe(Command.withDescription("Bring the schema up to date; safe to run at every start, from many processes at once"))

const sentence = ({ applied, schema, version }: Report) => {
  if (applied.length === 0) return `Nothing to apply: schema ${schema} is already at version ${version}`
  const names = applied.map(({ name, version }) => `${version} ${name}`).join(", ")
  const count = applied.length === 1 ? "1 migration" : `${applied.length} migrations`
  return `Applied ${count} (${names}): schema ${schema} is at version ${version}`
}
