/** Starts a server whose commits are durable, with the schema in it, and tells what it runs on. */
import * as PgClient from "@effect/sql-pg/PgClient"
import * as PgConnection from "@effect/sql-pg/PgConnection"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import { readdirSync, readFileSync } from "node:fs"
import { cpus } from "node:os"
import { join } from "node:path"
import { EmbeddedPostgres } from "../../src/EmbeddedPostgres.ts"
import * as Migrations from "../../src/store/postgres/Migrations.ts"
import { texts } from "../../src/store/postgres/parameters.ts"
import type { SchemaName } from "../../src/store/postgres/SchemaName.ts"

const told = [
  "fsync",
  "synchronous_commit",
  "full_page_writes",
  "wal_level",
  "shared_buffers",
  "max_wal_size",
  "autovacuum"
]

/** Another database of the same server, migrated: what is pinned in one does not concern the other. */
export const createDatabase = Effect.fnUntraced(function* (
  server: Redacted.Redacted<string>,
  name: string,
  schemas: ReadonlyArray<SchemaName>
) {
  yield* Effect.scoped(
    Effect.flatMap(PgConnection.make({ url: server }), (admin) => admin.query(`CREATE DATABASE ${name}`, [], false))
  )
  const target = new URL(Redacted.value(server))
  target.pathname = `/${name}`
  const url = Redacted.make(target.toString())
  const migrate = Effect.forEach(schemas, (schema) => Migrations.migrate({ schema }))
  yield* Effect.provide(migrate, PgClient.layer({ url }))
  return url
})

export const startServer = Effect.gen(function* () {
  const { directory, url } = yield* EmbeddedPostgres.make()
  yield* Migrations.migrate().pipe(Effect.provide(PgClient.layer({ url })))
  const admin = yield* PgConnection.make({ url })
  const { rows } = yield* admin.query(
    `SELECT current_setting('server_version') AS version,
       (SELECT string_agg(name || ' ' || current_setting(name), ', ') FROM unnest($1::text[]) AS name) AS settings`,
    [texts(told)]
  )
  return {
    url,
    admin,
    directory,
    facts: {
      date: new Date().toISOString().slice(0, 16),
      machine: `${cpus().length} cores (${cpus()[0]?.model ?? "unknown"}), Node ${process.versions.node}`,
      server: `PostgreSQL ${String(rows[0]!["version"])}, embedded, defaults: ${String(rows[0]!["settings"])}`
    }
  }
})

/** Seconds of CPU that a server has used, its processes that are gone included. Linux only; to ten milliseconds. */
export const cpuOf = (directory: string): number => {
  const [first = ""] = readFileSync(join(directory, "postmaster.pid"), "utf8").split("\n")
  let ticks = 0
  for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
    const fields = statOf(pid)
    // After the name: state, parent, …; 11 to 14 are its own time, in user and system mode, and its dead children's.
    if (pid === first) ticks += sum(fields.slice(11, 15))
    else if (fields[1] === first) ticks += sum(fields.slice(11, 13))
  }
  return ticks / 100
}

const sum = (fields: ReadonlyArray<string>) => fields.reduce((all, one) => all + Number(one), 0)

const statOf = (pid: string): ReadonlyArray<string> => {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8")
    return stat.slice(stat.lastIndexOf(")") + 2).split(" ")
  } catch {
    return [] // gone meanwhile
  }
}
