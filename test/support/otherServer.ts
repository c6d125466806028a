/** Servers that what another one held is brought to: on a copy of its files, or row by row. */
import * as PgConnection from "@effect/sql-pg/PgConnection"
import * as PgClient from "@effect/sql-pg/PgClient"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import { execFileSync } from "node:child_process"
import { chmodSync, rmSync } from "node:fs"
import { join } from "node:path"
import * as Binaries from "../../src/embedded/Binaries.ts"
import * as Instance from "../../src/embedded/Instance.ts"
import * as Server from "../../src/embedded/Server.ts"
import * as ServerUser from "../../src/embedded/ServerUser.ts"
import { EmbeddedPostgres } from "../../src/EmbeddedPostgres.ts"
import * as Migrations from "../../src/store/postgres/Migrations.ts"
import { findOnPath, run } from "./processes.ts"
import { temporaryFolder } from "./temporaryFolder.ts"

const binaries = process.env["LANEKEEPER_TEST_POSTGRES"]
const settings = { fsync: "off", full_page_writes: "off" }

const otherPort = (url: string, port: number) => {
  const other = new URL(url)
  other.port = `${port}`
  return other.toString()
}

/** Starts a server on a copy of the files of one that has just stopped, as a standby that is promoted would go on. */
export const startOnCopy = Effect.fnUntraced(function* (data: string, url: string) {
  const folder = yield* temporaryFolder
  const server = yield* Effect.acquireRelease(
    Effect.promise(async () => {
      const user = await ServerUser.find()
      const instance = await Instance.create(folder, user)
      execFileSync("cp", ["-a", `${data}/.`, instance.data])
      rmSync(join(instance.data, "postmaster.pid"), { force: true })
      const found = await Binaries.find(binaries, instance, user)
      return { instance, server: await Server.start(found, instance, user, settings) }
    }),
    ({ instance, server }) =>
      Effect.promise(async () => {
        await Server.stop(server, "immediate")
        await Instance.remove(instance)
      })
  )
  return otherPort(url, server.server.port)
})

/** Starts an empty server. */
export const startEmpty = Effect.gen(function* () {
  const { url } = yield* EmbeddedPostgres.make({ directory: yield* temporaryFolder, binaries, settings })
  return Redacted.value(url)
})

const majorOf = (text: string) => Number(/\d+/.exec(text)?.[0])

/** A dump of one database, restored into another, empty one. */
export const restore = Effect.fnUntraced(function* (from: string, to: string) {
  const folder = yield* temporaryFolder
  const source = yield* PgConnection.make({ url: Redacted.make(from) })
  const { rows } = yield* source.query("SELECT current_setting('server_version') AS version")
  const fits = (path: string) =>
    majorOf(execFileSync(path, ["--version"]).toString()) >= majorOf(String(rows[0]!["version"]))
  const [dump, load] = [findOnPath("pg_dump", fits), findOnPath("pg_restore", fits)]
  if (dump === undefined || load === undefined) return yield* carry(source, to, folder)
  const file = join(folder, "dump")
  for (const [command, ...args] of [
    [dump, "--format=custom", `--file=${file}`, from],
    [load, "--exit-on-error", `--dbname=${to}`, file]
  ] as const) {
    const { code, stderr } = yield* run(command, args)
    if (code !== 0) return yield* Effect.die(new Error(`${command} failed: ${stderr}`))
  }
})

/** What a dump holds, without the program: the rows of one moment, table by table, and where sequences are. */
const carry = Effect.fnUntraced(function* (source: PgConnection.PgConnection, to: string, folder: string) {
  chmodSync(folder, 0o777) // the servers write and read there, who are other users
  yield* Migrations.migrate().pipe(Effect.provide(PgClient.layer({ url: Redacted.make(to) })))
  const target = yield* PgConnection.make({ url: Redacted.make(to) })
  const names = (kind: string) =>
    Effect.map(
      source.query(
        `SELECT relname::text AS name FROM pg_class WHERE relnamespace = 'lanekeeper'::regnamespace AND relkind = '${kind}'`
      ),
      ({ rows }) => rows.map((row) => String(row["name"]))
    )
  const tables = yield* names("r")
  yield* source.query("BEGIN ISOLATION LEVEL REPEATABLE READ")
  yield* target.query("SET session_replication_role = replica")
  yield* target.query(`TRUNCATE ${tables.map((table) => `lanekeeper."${table}"`).join(", ")}`)
  for (const table of tables) {
    const file = join(folder, table)
    yield* source.query(`COPY lanekeeper."${table}" TO '${file}'`)
    yield* target.query(`COPY lanekeeper."${table}" FROM '${file}'`)
  }
  for (const sequence of yield* names("S")) {
    const { rows } = yield* source.query(
      `SELECT last_value::text AS value, is_called AS called FROM lanekeeper."${sequence}"`
    )
    const { called, value } = rows[0]!
    yield* target.query(`SELECT setval('lanekeeper."${sequence}"', ${value}, ${called})`)
  }
  yield* source.query("COMMIT")
})
