/**
 * Turns what a driver reports about the database itself into errors that say what to do.
 *
 * Only reasons an operator can act on are translated; every other `SqlError` passes through unchanged.
 */
import type * as PgClient from "@effect/sql-pg/PgClient"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import type { SqlError } from "effect/sql/SqlError"

/** No usable connection: the server is down or refuses us. */
export class DatabaseUnavailable extends Schema.TaggedError<DatabaseUnavailable>()("DatabaseUnavailable", {
  address: Schema.String,
  reason: Schema.String,
  remedy: Schema.String,
  cause: Schema.Defect()
}) {
  override get message() {
    return `PostgreSQL at ${this.address} is not available (${this.reason}): ${this.remedy}`
  }
}

/** The server is older than the oldest one supported. */
export class DatabaseTooOld extends Schema.TaggedError<DatabaseTooOld>()("DatabaseTooOld", {
  address: Schema.String,
  version: Schema.String
}) {
  override get message() {
    return `PostgreSQL at ${this.address} is version ${this.version}: use a server of version ${oldestServer} or newer`
  }
}

/** The login may not do what was asked. */
export class DatabasePermission extends Schema.TaggedError<DatabasePermission>()("DatabasePermission", {
  address: Schema.String,
  reason: Schema.String,
  remedy: Schema.String,
  cause: Schema.Defect()
}) {
  override get message() {
    return `PostgreSQL at ${this.address} refused (${this.reason}): ${this.remedy}`
  }
}

/** The oldest PostgreSQL on which the store is tested. */
export const oldestServer = 15

/** Where a client connects to, fit for a message: never with a password. */
export const address = (client: PgClient.PgClient): string => {
  const { database, host, port, url } = client.config
  const target = url === undefined ? undefined : parse(Redacted.value(url))
  const name = target?.pathname.slice(1) || database
  return `${host ?? (target?.hostname || "localhost")}:${port ?? (target?.port || 5432)}${name ? `/${name}` : ""}`
}

const parse = (url: string) => (URL.canParse(url) ? new URL(url) : undefined)

export type Explained = SqlError | DatabaseUnavailable | DatabasePermission

/** Translates the failures of effects that talk to the database of `client`. `permission` says what to grant. */
export const explain =
  (client: PgClient.PgClient, permission: string) =>
  <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, Exclude<E, SqlError> | Explained, R> =>
    Effect.mapError(effect, (error) => {
      if (!isSqlError(error)) return error as Exclude<E, SqlError>
      const fields = { address: address(client), reason: rootMessage(error), cause: error }
      if (error.reason._tag === "AuthorizationError") return new DatabasePermission({ ...fields, remedy: permission })
      const remedy = remedyOf(error)
      return remedy === undefined ? error : new DatabaseUnavailable({ ...fields, remedy })
    })

const isSqlError = (error: unknown): error is SqlError =>
  typeof error === "object" && error !== null && "_tag" in error && error._tag === "SqlError"

const remedyOf = (error: SqlError): string | undefined => {
  if (rootMessage(error).includes("unsupported startup parameter")) {
    return "let PgBouncer pass it over: ignore_startup_parameters, as the README says"
  }
  if (rootMessage(error) === "No username configured") return "name a user in DATABASE_URL: postgres://user@…"
  switch (error.reason._tag) {
    case "AuthenticationError":
      return "correct the user or the password in DATABASE_URL"
    case "ConnectionError":
      return "start it, or correct DATABASE_URL"
  }
  switch (stateOf(error)) {
    case "3D000":
      return "create that database, or correct DATABASE_URL"
    case "53300":
      return "raise max_connections, or use fewer connections"
    case "57P01": // the server is going down, is down, or is coming up
    case "57P02":
    case "57P03":
      return "try again when the server has started"
  }
  return undefined
}

/** The SQLSTATE the server answered, when it answered one. */
export const stateOf = (error: SqlError): string | undefined => {
  const cause: unknown = error.reason.cause
  return typeof cause === "object" && cause !== null && "code" in cause && typeof cause.code === "string"
    ? cause.code
    : undefined
}

/** Says why in the words of whoever knew first: the server, or the operating system. */
export const rootMessage = (error: SqlError): string => {
  const cause: unknown = error.reason.cause
  if (cause instanceof AggregateError) return cause.errors.map(String).join(", ")
  const message = cause instanceof Error && cause.message !== "" ? cause.message : error.message
  return stateOf(error) === "25006" ? `${message}: ${writable}` : message
}

const writable = "point DATABASE_URL at the primary, or set default_transaction_read_only to off"

/** Fails unless the server is supported. Answers its version, such as "18.4". */
export const requireServer = Effect.fnUntraced(function* (client: PgClient.PgClient) {
  const [row] = yield* client<{ number: number; version: string }>`
    SELECT current_setting('server_version_num')::int AS number, current_setting('server_version') AS version
  `
  if (row!.number < oldestServer * 10_000) {
    return yield* new DatabaseTooOld({ address: address(client), version: row!.version })
  }
  return row!.version
})
