/**
 * Reads what the server says about itself that the store's moves do not tell: who pins snapshots, who holds pieces of
 * storage, who publishes its tables, and how many connections are left. For diagnosis; nothing depends on it.
 */
import type { PgClient } from "@effect/sql-pg/PgClient"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { SqlError } from "effect/sql/SqlError"
import type { SchemaName } from "./SchemaName.ts"

/** Somebody on the server whom a person could look for. */
export interface Session {
  readonly pid: number
  readonly application: string
  readonly user: string
  /** Since its transaction began. */
  readonly age: Duration.Duration
}

export interface Server {
  readonly version: string
  readonly readOnly: boolean
  /** The server's clock, in milliseconds. */
  readonly now: number
  /** Whether this login sees what other logins do. */
  readonly seesOthers: boolean
  /** How many more this login could open: the least of what server, database and role allow. */
  readonly connectionsLeft: number
  readonly connectionLimit: number
  readonly boundBy: "server" | "database" | "role"
}

export interface Pin {
  readonly what: "session" | "prepared transaction" | "replication slot"
  readonly name: string
  readonly pid: number | null
  readonly age: Duration.Duration | null
}

export interface Publication {
  readonly name: string
  readonly tables: number
  /** Tables whose deletes the publication makes fail. */
  readonly refused: ReadonlyArray<string>
}

export interface Facts {
  readonly server: Server
  readonly pins: ReadonlyArray<Pin>
  /** Who has held pieces of storage for longer, and which. */
  readonly holders: ReadonlyArray<Session & { readonly tables: ReadonlyArray<string> }>
  readonly publications: ReadonlyArray<Publication>
}

const serverStatement = `
  SELECT current_setting('server_version') AS version,
    pg_is_in_recovery() OR current_setting('transaction_read_only') = 'on' AS "readOnly",
    (extract(epoch FROM clock_timestamp()) * 1000)::float8 AS now,
    pg_has_role(current_user, 'pg_read_all_stats', 'USAGE') AS "seesOthers",
    current_setting('max_connections')::int AS "serverLimit",
    current_setting('max_connections')::int - (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend')::int
      - CASE WHEN rolsuper THEN 0 ELSE current_setting('superuser_reserved_connections')::int
          + coalesce(current_setting('reserved_connections', true), '0')::int END AS "serverLeft",
    datconnlimit AS "databaseLimit",
    datconnlimit - (SELECT count(*) FROM pg_stat_activity WHERE datname = current_database())::int AS "databaseLeft",
    rolconnlimit AS "roleLimit",
    rolconnlimit - (SELECT count(*) FROM pg_stat_activity WHERE usename = current_user)::int AS "roleLeft"
  FROM pg_database CROSS JOIN pg_roles WHERE datname = current_database() AND rolname = current_user`

// Only what works in the same database holds its dead rows back; a walsender speaks for a standby.
const pinsStatement = `
  SELECT 'session' AS what, coalesce(nullif(application_name, ''), 'a session') || ' of ' || coalesce(usename, 'nobody') AS name, pid,
    (extract(epoch FROM clock_timestamp() - xact_start) * 1000)::float8 AS age
  FROM pg_stat_activity
  WHERE backend_xmin IS NOT NULL AND pid <> pg_backend_pid() AND (datname = current_database() OR backend_type = 'walsender')
    AND coalesce(clock_timestamp() - xact_start >= $1 * interval '1 ms', true)
  UNION ALL
  SELECT 'prepared transaction', gid, NULL, (extract(epoch FROM clock_timestamp() - prepared) * 1000)::float8
  FROM pg_prepared_xacts WHERE database = current_database() AND clock_timestamp() - prepared >= $1 * interval '1 ms'
  UNION ALL
  SELECT 'replication slot', slot_name, active_pid, NULL FROM pg_replication_slots WHERE xmin IS NOT NULL AND NOT active
  ORDER BY age DESC NULLS LAST`

const holdersStatement = `
  SELECT pid, coalesce(nullif(application_name, ''), 'a session') AS application, coalesce(usename, 'nobody') AS user,
    (extract(epoch FROM clock_timestamp() - xact_start) * 1000)::float8 AS age, array_agg(DISTINCT relname::text) AS tables
  FROM pg_locks
  JOIN pg_class ON pg_class.oid = relation
  JOIN pg_namespace ON pg_namespace.oid = relnamespace
  JOIN pg_stat_activity USING (pid)
  WHERE database = (SELECT oid FROM pg_database WHERE datname = current_database()) AND granted AND pid <> pg_backend_pid()
    AND nspname = $1 AND relname ~ '^(job|attempt_end|ticket)_[0-9]+$'
    AND clock_timestamp() - xact_start >= $2 * interval '1 ms'
  GROUP BY pid, application_name, usename, xact_start
  ORDER BY xact_start`

const publicationsStatement = `
  SELECT pg_publication.pubname::text AS name, count(*)::int AS tables,
    coalesce(array_agg(relname::text ORDER BY relname) FILTER (WHERE (pubdelete OR pubupdate) AND (
      relreplident = 'n' OR relreplident = 'd' AND NOT EXISTS (
        SELECT FROM pg_index WHERE indrelid = pg_class.oid AND indisprimary
      )
    )), '{}') AS refused
  FROM pg_publication
  JOIN pg_publication_tables USING (pubname)
  JOIN pg_class ON relname = tablename AND relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = schemaname)
  WHERE schemaname = $1
  GROUP BY pg_publication.pubname ORDER BY 1`

type Aged<A> = Omit<A, "age"> & { readonly age: number }

export const gather = Effect.fnUntraced(function* (
  sql: PgClient,
  schema: SchemaName,
  longerThan: Duration.Duration
): Effect.fn.Return<Facts, SqlError> {
  const [row] = yield* sql.unsafe<ServerRow>(serverStatement)
  const long = Duration.toMillis(longerThan)
  const pins = yield* sql.unsafe<Aged<Pin>>(pinsStatement, [long])
  const holders = yield* sql.unsafe<Aged<Facts["holders"][number]>>(holdersStatement, [schema, long])
  return {
    server: serverOf(row!),
    pins: pins.map((pin) => ({ ...pin, age: pin.age === null ? null : Duration.millis(pin.age) })),
    holders: holders.map((holder) => ({ ...holder, age: Duration.millis(holder.age) })),
    publications: yield* sql.unsafe<Publication>(publicationsStatement, [schema])
  }
})

interface ServerRow extends Omit<Server, "connectionsLeft" | "connectionLimit" | "boundBy"> {
  readonly serverLimit: number
  readonly serverLeft: number
  readonly databaseLimit: number
  readonly databaseLeft: number
  readonly roleLimit: number
  readonly roleLeft: number
}

const serverOf = (row: ServerRow): Server => {
  const { now, readOnly, seesOthers, version } = row
  const bounds = [
    { boundBy: "server", connectionLimit: row.serverLimit, connectionsLeft: row.serverLeft },
    { boundBy: "database", connectionLimit: row.databaseLimit, connectionsLeft: row.databaseLeft },
    { boundBy: "role", connectionLimit: row.roleLimit, connectionsLeft: row.roleLeft }
  ] as const
  const [tightest] = bounds
    .filter(({ connectionLimit }) => connectionLimit >= 0) // -1 is no limit
    .toSorted((one, other) => one.connectionsLeft - other.connectionsLeft)
  return { version, readOnly, now, seesOthers, ...tightest! }
}
