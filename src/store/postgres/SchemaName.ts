/**
 * Names the PostgreSQL schema that one Lanekeeper lives in. A valid name needs no escaping, in a literal or quoted:
 * it is the only text that is ever put into a statement.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

/** 48 characters leave room for the prefixes of channels and locks within PostgreSQL's 63; `pg_` is the server's own. */
export const SchemaName = Schema.String.check(
  Schema.isPattern(/^(?!pg_|information_schema$)[a-z_][a-z0-9_]{0,47}$/, {
    message:
      "a schema name is 1 to 48 of a-z, 0-9 and _, does not begin with a digit and is not one of PostgreSQL's own"
  })
).pipe(Schema.brand("lanekeeper/SchemaName"))

export type SchemaName = typeof SchemaName.Type

/** Not a name a schema may have. */
export class InvalidSchemaName extends Schema.TaggedError<InvalidSchemaName>()("InvalidSchemaName", {
  name: Schema.String
}) {
  override get message() {
    return `"${this.name}" is no name for a schema: take 1 to 48 of a-z, 0-9 and _, not beginning with a digit or pg_`
  }
}

/** Reads a name that came from outside. */
export const schemaName = (name: string = defaultName): Effect.Effect<SchemaName, InvalidSchemaName> =>
  Effect.mapError(Schema.decodeEffect(SchemaName)(name), () => new InvalidSchemaName({ name }))

export const defaultName = SchemaName.make("lanekeeper")

/** Where queues with new work are named. `enqueue` in SQL notifies it too. */
export const wakeChannel = (name: SchemaName) => `${name}_wake`

/** Where a leader says that it has let go of the lead. */
export const leaderChannel = (name: SchemaName) => `${name}_leader`

export const quoted = (name: SchemaName) => `"${name}"`
