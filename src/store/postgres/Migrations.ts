/**
 * Brings one PostgreSQL schema from any version to this one, in one transaction, however many processes try at once.
 *
 * The plan is a list of plain statements: the runner executes them one by one and `toSql` prints the same text, so what
 * an administrator reviews is what would have run. Each step decides inside the database whether it is still to be done.
 * Effect's own Migrator knows no schemas, no printable form, and no answer for a process that is older than its schema.
 */
import { PgClient } from "@effect/sql-pg/PgClient"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { BeginTransaction } from "effect/sql/SqlClient"
import * as DatabaseError from "./DatabaseError.ts"
import { migrations as released } from "./migrations/index.ts"
import { defaultName, quoted, type SchemaName, schemaName } from "./SchemaName.ts"

export interface Migration {
  /** 1, 2, 3 and so on without a gap. */
  readonly version: number
  readonly name: string
  /** The oldest schema version a running process may have been built for and still work on this one. */
  readonly oldest: number
  /** One statement each, given the schema's quoted name. */
  readonly statements: (schema: string) => ReadonlyArray<string>
}

export interface Options {
  /** Defaults to `lanekeeper`. */
  readonly schema?: string | undefined
  /** Defaults to those of this release. */
  readonly migrations?: ReadonlyArray<Migration> | undefined
}

export interface Report {
  readonly schema: SchemaName
  /** The version the schema is at now: beyond this release's when a newer one, compatible, has migrated it. */
  readonly version: number
  readonly applied: ReadonlyArray<Pick<Migration, "version" | "name">>
}

/** The schema was never migrated. */
export class SchemaMissing extends Schema.TaggedError<SchemaMissing>()("SchemaMissing", { schema: Schema.String }) {
  override get message() {
    return `The database has no schema ${this.schema}: run \`lanekeeper migrate\``
  }
}

/** The schema is behind this process. */
export class SchemaOlder extends Schema.TaggedError<SchemaOlder>()("SchemaOlder", {
  schema: Schema.String,
  version: Schema.Int,
  wanted: Schema.Int
}) {
  override get message() {
    return `The schema ${this.schema} is at version ${this.version} and this process needs ${this.wanted}: run \`lanekeeper migrate\``
  }
}

/** The schema has moved on and this process can no longer work on it. */
export class SchemaNewer extends Schema.TaggedError<SchemaNewer>()("SchemaNewer", {
  schema: Schema.String,
  version: Schema.Int,
  oldest: Schema.Int,
  built: Schema.Int
}) {
  override get message() {
    return (
      `The schema ${this.schema} is at version ${this.version}, which works with processes built for version ` +
      `${this.oldest} or newer, and this one is built for ${this.built}: update this process`
    )
  }
}

/** A migration did not run; nothing of it, or of those before it in the same run, was kept. */
export class MigrationFailed extends Schema.TaggedError<MigrationFailed>()("MigrationFailed", {
  schema: Schema.String,
  version: Schema.Int,
  name: Schema.String,
  reason: Schema.String,
  cause: Schema.Defect()
}) {
  override get message() {
    return (
      `Migration ${this.version} (${this.name}) of the schema ${this.schema} failed and nothing was changed ` +
      `(${this.reason}): remove what is in its way and run it again`
    )
  }
}

/** Migrates, and answers what was applied. Does nothing, and needs no rights to create anything, when all is applied. */
export const migrate = Effect.fn("Migrations.migrate")(function* ({ migrations = released, ...options }: Options = {}) {
  const schema = yield* schemaName(options.schema)
  const client = yield* PgClient
  const explained = DatabaseError.explain(
    client,
    "grant CREATE on the database to this user, or run `lanekeeper migrate` as the owner of the schema"
  )
  const run = (statement: string) => client.unsafe(statement).unprepared
  const apply = Effect.gen(function* () {
    yield* run(lock(schema))
    yield* run(prepare(schema))
    const before = yield* readState(client, schema)
    for (const migration of migrations) {
      yield* run(step(schema, migration)).pipe(
        explained,
        Effect.catchTag("SqlError", (cause) => {
          const reason = DatabaseError.rootMessage(cause)
          return Effect.fail(new MigrationFailed({ schema, ...named(migration), reason, cause }))
        })
      )
    }
    return yield* report(schema, migrations, before, yield* readState(client, schema))
  })
  return yield* Effect.gen(function* () {
    yield* DatabaseError.requireServer(client)
    const state = yield* readState(client, schema)
    if (state.exists && state.version >= latest(migrations)) return yield* report(schema, migrations, state, state)
    return yield* client.withTransaction(apply).pipe(Effect.provideService(BeginTransaction, begin))
  }).pipe(explained)
})

/** Fails unless a process of this release can work on the schema. Answers the schema's version. */
export const check = Effect.fn("Migrations.check")(function* ({ migrations = released, ...options }: Options = {}) {
  const schema = yield* schemaName(options.schema)
  const client = yield* PgClient
  const state = yield* Effect.andThen(DatabaseError.requireServer(client), readState(client, schema)).pipe(
    DatabaseError.explain(client, `grant USAGE on the schema ${schema} and SELECT on its tables to this user`)
  )
  if (!state.exists) return yield* new SchemaMissing({ schema })
  if (state.version < latest(migrations)) {
    return yield* new SchemaOlder({ schema, version: state.version, wanted: latest(migrations) })
  }
  return (yield* report(schema, migrations, state, state)).version
})

/** Prints the migration as a script for psql or any other client. It can be run twice, and from any version. */
export const toSql = ({
  migrations = released,
  schema = defaultName
}: Pick<Options, "migrations"> & { readonly schema?: SchemaName | undefined } = {}): string => {
  return [
    `-- Brings the schema ${quoted(schema)} from any version to ${latest(migrations)}. Can be run again at any time.`,
    `${begin};`,
    ...[lock(schema), prepare(schema), ...migrations.map((migration) => step(schema, migration))].map(terminated),
    "COMMIT;\n"
  ].join("\n\n")
}

/** Whatever the server's default: what the lock was waited for must be seen once it is held. */
const begin = "BEGIN ISOLATION LEVEL READ COMMITTED"

const terminated = (statement: string) => `${statement};`

const latest = (migrations: ReadonlyArray<Migration>) => migrations.at(-1)?.version ?? 0

const named = ({ name, version }: Migration) => ({ version, name })

interface State {
  readonly exists: boolean
  readonly version: number
  readonly oldest: number
}

const readState = Effect.fnUntraced(function* (client: PgClient, schema: SchemaName) {
  const table = `${quoted(schema)}.migration`
  // pg_class and not to_regclass: a login without USAGE on the schema must hear "permission denied", not "no schema".
  const [found] = yield* client<{ exists: boolean }>`
    SELECT EXISTS (
      SELECT FROM pg_class
      JOIN pg_namespace ON pg_namespace.oid = pg_class.relnamespace
      WHERE nspname = ${schema} AND relname = 'migration'
    ) AS exists
  `
  if (!found!.exists) return { exists: false, version: 0, oldest: 0 } satisfies State
  const [row] = yield* client.unsafe<State>(
    `SELECT true AS exists, coalesce(max(version), 0) AS version, coalesce(max(oldest), 0) AS oldest FROM ${table}`
  ).unprepared
  return row!
})

const report = Effect.fnUntraced(function* (
  schema: SchemaName,
  migrations: ReadonlyArray<Migration>,
  before: State,
  after: State
): Effect.fn.Return<Report, SchemaNewer> {
  const built = latest(migrations)
  if (after.oldest > built) {
    return yield* new SchemaNewer({ schema, version: after.version, oldest: after.oldest, built })
  }
  const applied = migrations.filter(({ version }) => version > before.version)
  return { schema, version: after.version, applied: applied.map(named) }
})

const lock = (schema: SchemaName) => `SELECT pg_advisory_xact_lock(hashtextextended('lanekeeper:migrate:${schema}', 0))`

/**
 * Creates the schema and the list of what was applied. It looks before it creates: CREATE … IF NOT EXISTS wants the
 * right to create even when there is nothing to do.
 */
const prepare = (schema: SchemaName) =>
  block(`
  IF current_setting('server_version_num')::int < ${DatabaseError.oldestServer}0000 THEN
    RAISE EXCEPTION 'PostgreSQL % is too old: use version ${DatabaseError.oldestServer} or newer', current_setting('server_version');
  END IF;
  IF NOT EXISTS (SELECT FROM pg_namespace WHERE nspname = '${schema}') THEN
    CREATE SCHEMA ${quoted(schema)};
  END IF;
  IF to_regclass('${quoted(schema)}.migration') IS NULL THEN
    CREATE TABLE ${quoted(schema)}.migration (
      version int PRIMARY KEY,
      name text NOT NULL,
      oldest int NOT NULL,
      applied_at timestamptz NOT NULL DEFAULT now()
    );
  END IF;`)

/** EXECUTE, because each statement must be parsed after the one before it has run. */
const step = (schema: SchemaName, migration: Migration) => {
  const statements = migration
    .statements(quoted(schema))
    .map((text) => `    EXECUTE ${dollarQuoted(`\n${text.trim()}\n`)};`)
  return block(`
  -- ${migration.version}: ${migration.name}
  IF NOT EXISTS (SELECT FROM ${quoted(schema)}.migration WHERE version >= ${migration.version}) THEN
${statements.join("\n")}
    INSERT INTO ${quoted(schema)}.migration (version, name, oldest)
    VALUES (${migration.version}, '${migration.name}', ${migration.oldest});
  END IF;`)
}

const block = (body: string) => `DO ${dollarQuoted(`\nBEGIN${body}\nEND\n`)}`

const dollarQuoted = (text: string) => {
  let tag = "$sql$"
  for (let n = 1; text.includes(tag); n++) tag = `$sql${n}$`
  return tag + text + tag
}
