import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import type { Report } from "../store/postgres/Migrations.ts"
import * as Settings from "../Settings.ts"
import { schemaFlag } from "./flags.ts"

export const migrate = Command.make(
  "migrate",
  {
    schema: schemaFlag,
    sql: Flag.Boolean("sql").pipe(Flag.withDescription("Print the SQL instead of running it"), Flag.withDefault(false)),
    roles: Flag.Boolean("roles").pipe(
      Flag.withDescription("Create the group roles too: producer, worker, maintenance, viewer, operator"),
      Flag.withDefault(false)
    )
  },
  Effect.fn(function* (flags) {
    const Migrations = yield* Effect.promise(() => import("../store/postgres/Migrations.ts"))
    const Roles = yield* Effect.promise(() => import("../store/postgres/Roles.ts"))
    if (flags.sql) {
      const options = yield* Settings.read({ schema: Settings.schema }, { schema: flags.schema })
      yield* Console.log(Migrations.toSql(options).trimEnd())
      if (flags.roles) yield* Console.log(`\n${Roles.toSql(options).trimEnd()}`)
      return
    }
    const { schema, url } = yield* Settings.read(
      { url: Settings.databaseUrl, schema: Settings.schema },
      { schema: flags.schema }
    )
    const PgClient = yield* Effect.promise(() => import("@effect/sql-pg/PgClient"))
    yield* Effect.gen(function* () {
      yield* Console.log(sentence(yield* Migrations.migrate({ schema })))
      if (flags.roles) yield* Console.log(`Granted to the roles ${(yield* Roles.make({ schema })).join(", ")}`)
    }).pipe(Effect.provide(PgClient.layer({ url, applicationName: "lanekeeper migrate", maxConnections: 1 })))
  })
).pipe(Command.withDescription("Bring the schema up to date; safe to run at every start, from many processes at once"))

const sentence = ({ applied, schema, version }: Report) => {
  if (applied.length === 0) return `Nothing to apply: schema ${schema} is already at version ${version}`
  const names = applied.map(({ name, version }) => `${version} ${name}`).join(", ")
  const count = applied.length === 1 ? "1 migration" : `${applied.length} migrations`
  return `Applied ${count} (${names}): schema ${schema} is at version ${version}`
}
