/**
 * Makes the group roles that hold no more than their part needs. The places are tables, so least privilege is a GRANT:
 * who may not insert a lease cannot claim, and who may not select a body cannot read a payload.
 *
 * Made on request, for it takes the right to create roles. A login becomes a member: `GRANT lanekeeper_worker TO app`.
 */
import { PgClient } from "@effect/sql-pg/PgClient"
import * as Effect from "effect/Effect"
import * as DatabaseError from "./DatabaseError.ts"
import { shelves, slots } from "./migrations/jobs/tables.ts"
import { keyParts } from "./migrations/producers/enqueueUnique.ts"
import { defaultName, quoted, type SchemaName } from "./SchemaName.ts"

/** Producers enqueue. Workers claim and finish. Maintenance runs lanes. Viewers read. Operators read and move jobs. */
export const roles = ["producer", "worker", "maintenance", "viewer", "operator"] as const

export type Role = (typeof roles)[number]

export const roleName = (schema: SchemaName, role: Role) => `${schema}_${role}`

type Privilege = "SELECT" | "INSERT" | "UPDATE" | "DELETE" | "TRUNCATE"

const all = ["SELECT", "INSERT", "UPDATE", "DELETE"] as const

/** To lock a row is an UPDATE to PostgreSQL. */
const grants: Readonly<Record<Role, Readonly<Record<string, ReadonlyArray<Privilege>>>>> = {
  producer: {
    ring: ["SELECT"],
    migration: ["SELECT"],
    job: ["INSERT"],
    ticket: ["INSERT"],
    timed: ["INSERT"],
    unique_key: ["SELECT", "INSERT", "UPDATE"],
    stats: ["SELECT"]
  },
  worker: {
    ring: ["SELECT"],
    migration: ["SELECT"],
    queue: ["SELECT"],
    job: ["SELECT", "INSERT"],
    attempt_end: ["SELECT", "INSERT"],
    ticket: all,
    timed: ["INSERT"],
    wait: ["INSERT"],
    dead: ["SELECT", "INSERT"],
    outbox: ["INSERT"],
    note: ["SELECT", "INSERT", "UPDATE"],
    lease: all,
    worker: all,
    unique_key: ["SELECT", "INSERT", "UPDATE"],
    leader: ["SELECT"],
    lane_run: ["SELECT"]
  },
  maintenance: {
    ring: ["SELECT"],
    migration: ["SELECT"],
    queue: ["SELECT"],
    job: ["SELECT", "INSERT", "DELETE", "TRUNCATE"],
    attempt_end: ["SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE"],
    ticket: ["SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE"],
    timed: all,
    wait: all,
    dead: all,
    outbox: all,
    note: ["SELECT", "UPDATE", "DELETE"],
    outbox_mark: ["SELECT", "UPDATE"],
    outbox_sink: ["SELECT", "UPDATE"],
    lease: ["SELECT", "UPDATE", "DELETE"],
    worker: all,
    leader: ["SELECT", "UPDATE"],
    watch: ["SELECT", "UPDATE"],
    lane_run: ["SELECT", "INSERT", "UPDATE"],
    unique_key: ["SELECT", "UPDATE", "DELETE"],
    look: ["SELECT", "INSERT", "UPDATE"],
    stats: ["SELECT", "INSERT", "UPDATE"],
    survey: ["SELECT", "UPDATE"]
  },
  viewer: {}, // reads all of it
  operator: {
    queue: ["SELECT", "INSERT", "UPDATE"],
    job: ["SELECT", "INSERT"],
    attempt_end: ["SELECT", "INSERT", "UPDATE"],
    ticket: all,
    timed: all,
    wait: all,
    dead: ["SELECT", "INSERT", "DELETE"],
    unique_key: ["SELECT", "INSERT", "UPDATE"],
    outbox: ["INSERT"],
    lease: ["SELECT", "UPDATE"]
  }
}

/** Who writes pointers draws their numbers, and who can end a job those of its follow-up. */
const sequences: Readonly<Record<Role, ReadonlyArray<string>>> = {
  producer: ["job_number", "pointer_number"],
  worker: ["job_number", "pointer_number", "lease_number", "event_number"],
  maintenance: ["job_number", "pointer_number", "event_number"],
  viewer: [],
  operator: ["job_number", "pointer_number", "event_number"]
}

/** What runs as the owner, and so is nobody's who was not granted it. */
const functions: Readonly<Partial<Record<Role, ReadonlyArray<string>>>> = {
  producer: ["enqueue_unique"],
  worker: ["enqueue_unique"],
  maintenance: ["rewrite"],
  operator: ["enqueue_unique"]
}

const parts: Readonly<Record<string, ReadonlyArray<string>>> = {
  job: Array.from({ length: slots + 1 }, (_, slot) => `job_${slot}`),
  attempt_end: Array.from({ length: slots + 1 }, (_, slot) => `attempt_end_${slot}`),
  ticket: Array.from({ length: shelves }, (_, shelf) => `ticket_${shelf}`),
  unique_key: Array.from({ length: keyParts }, (_, part) => `unique_key_${part}`)
}

/** A privilege since PostgreSQL 17. Before, only the owner can rebuild an index. */
const mayReindex = (schema: SchemaName, role: string) => `DO $$ BEGIN
  IF current_setting('server_version_num')::int >= 170000 THEN
    EXECUTE 'GRANT MAINTAIN ON ALL TABLES IN SCHEMA ${quoted(schema)} TO ${role}';
  END IF;
END $$`

const statements = (schema: SchemaName): ReadonlyArray<string> => {
  const within = quoted(schema)
  return roles.flatMap((role) => {
    const name = `"${roleName(schema, role)}"`
    return [
      // There is no CREATE ROLE IF NOT EXISTS, and two who look first would both create.
      `DO $$ BEGIN CREATE ROLE ${name} NOLOGIN; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$`,
      `GRANT USAGE ON SCHEMA ${within} TO ${name}`,
      // A statement that names a slot itself is checked against that slot.
      ...Object.entries(grants[role]).map(([table, privileges]) => {
        const tables = [table, ...(parts[table] ?? [])].map((part) => `${within}.${part}`)
        return `GRANT ${privileges.join(", ")} ON ${tables.join(", ")} TO ${name}`
      }),
      ...sequences[role].map((sequence) => `GRANT USAGE ON SEQUENCE ${within}.${sequence} TO ${name}`),
      ...(functions[role] ?? []).map((called) => `GRANT EXECUTE ON FUNCTION ${within}.${called} TO ${name}`),
      ...(role === "maintenance" ? [mayReindex(schema, name)] : []),
      ...(role === "viewer" ? [`GRANT SELECT ON ALL TABLES IN SCHEMA ${within} TO ${name}`] : []),
      ...(role === "operator" ? [`GRANT "${roleName(schema, "viewer")}" TO ${name}`] : [])
    ]
  })
}

/** Creates the roles that are missing and grants what each needs. Can be run again at any time. */
export const make = Effect.fn("Roles.make")(function* (options: { readonly schema?: SchemaName | undefined } = {}) {
  const schema = options.schema ?? defaultName
  const sql = yield* PgClient
  yield* sql
    .withTransaction(
      Effect.forEach(statements(schema), (statement) => sql.unsafe(statement).unprepared, { discard: true })
    )
    .pipe(DatabaseError.explain(sql, "run it as a login with CREATEROLE that owns the schema"))
  return roles.map((role) => roleName(schema, role))
})

/** Prints what `make` runs, as a script. */
export const toSql = (options: { readonly schema?: SchemaName | undefined } = {}): string =>
  ["BEGIN", ...statements(options.schema ?? defaultName), "COMMIT"].map((statement) => `${statement};\n`).join("\n")
