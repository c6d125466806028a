/** Shows what stands: a database found or started, migrated by the same command users run, and looked into. */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as PgClient from "@effect/sql-pg/PgClient"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Migrations } from "../src/index.ts"
import { DevelopmentDatabase } from "../src/testing.ts"

const show = Effect.gen(function* () {
  const database = yield* DevelopmentDatabase
  const sql = yield* PgClient.PgClient
  const [server] = yield* sql<{ version: string }>`SELECT current_setting('server_version') AS version`
  yield* Console.log(
    `PostgreSQL ${server!.version}, ${database.embedded ? "started for this run" : "from DATABASE_URL"}`
  )

  const { applied, schema, version } = yield* Migrations.migrate()
  yield* Console.log(`Schema ${schema} is at version ${version}, ${applied.length} applied now`)

  const tables = yield* sql<{ name: string; kind: string }>`
    SELECT relname AS name, CASE relkind WHEN 'v' THEN 'view' ELSE 'table' END AS kind
    FROM pg_class
    JOIN pg_namespace ON pg_namespace.oid = relnamespace
    WHERE nspname = ${schema} AND relkind IN ('r', 'p', 'v') AND NOT relispartition
    ORDER BY relname
  `
  for (const { kind, name } of tables) yield* Console.log(`  ${kind} ${schema}.${name}`)
})

const Client = Layer.unwrap(Effect.map(DevelopmentDatabase, ({ url }) => PgClient.layer({ url })))

show.pipe(Effect.provide(Client.pipe(Layer.provideMerge(DevelopmentDatabase.layer()))), NodeRuntime.runMain)
