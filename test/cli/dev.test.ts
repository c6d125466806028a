/** All of it at once, as a newcomer starts it. */
import { assert, describe, it } from "@effect/vitest"
import { PgClient } from "@effect/sql-pg/PgClient"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { DevSummary } from "../../src/cli/shapes.ts"
import { existsSync } from "node:fs"
import { readdir, readFile } from "node:fs/promises"
import { join } from "node:path"
import { eventually } from "../support/eventually.ts"
import { main, run, start } from "../support/processes.ts"
import { temporaryFolder } from "../support/temporaryFolder.ts"
import { TestDatabase } from "../support/TestDatabase.ts"

const isAlive = (pid: number) =>
  Effect.sync(() => {
    try {
      return process.kill(pid, 0)
    } catch {
      return false
    }
  })

/** It may end by itself: somebody looks for what is left of it. */
const commandOf = (pid: number) =>
  Effect.map(run("ps", ["-o", "args=", "-p", String(pid)]), ({ stdout }) => stdout.trim())

describe("lanekeeper dev", () => {
  it.live(
    "leaves no process, no server and no file behind when it is killed [LK-K2] [LK-P1]",
    () =>
      Effect.gen(function* () {
        const cwd = yield* temporaryFolder
        const dev = yield* start(process.execPath, [main, "dev"], { cwd })
        const said = yield* dev.says("rescued: the next attempt is another worker's")
        const pids = [...said.matchAll(/process (\d+)/g)].map(([, pid]) => Number(pid))
        const [folder] = yield* Effect.promise(() => readdir(join(cwd, ".lanekeeper")))
        const { home } = JSON.parse(
          yield* Effect.promise(() => readFile(join(cwd, ".lanekeeper", folder!, "owner.json"), "utf8"))
        )
        const server = Number(
          (yield* Effect.promise(() => readFile(join(home, "data/postmaster.pid"), "utf8"))).split("\n")[0]
        )
        assert.include(yield* commandOf(server), "postgres")
        yield* dev.signal("SIGKILL")
        yield* dev.ended
        for (const pid of [...pids, server]) yield* eventually(isAlive(pid), (alive) => !alive)
        const left = Effect.promise(() => readdir(join(cwd, ".lanekeeper")))
        yield* eventually(left, (names) => names.length === 0)
        yield* eventually(
          Effect.sync(() => existsSync(home)),
          (there) => !there
        )
      }).pipe(Effect.scoped),
    60_000
  )

  it.live(
    "shows jobs that succeed, fail, wait, die and are rescued from a killed worker, and ends all of it on one Ctrl-C [LK-K2]",
    () =>
      Effect.gen(function* () {
        const sql = yield* PgClient
        const { url } = yield* TestDatabase
        const dev = yield* start(process.execPath, [main, "dev"], { env: { DATABASE_URL: url } })
        yield* dev.says("from DATABASE_URL; schema lanekeeper_demo is at version")
        yield* dev.says("Short thresholds")
        yield* dev.says("rescued: the next attempt is another worker's")
        const said = yield* dev.says("in its place")
        const snoozed = sql<{ readonly n: number }>`
          SELECT count(*)::int AS n FROM lanekeeper_demo.attempt_end WHERE state = 'snoozed'`
        yield* eventually(snoozed, ([row]) => row!.n > 0)
        yield* dev.signal("SIGINT")
        const { code, stderr, stdout } = yield* dev.ended
        assert.strictEqual(code, 0, stderr)
        const ends = yield* sql<{ readonly state: string; readonly n: number }>`
          SELECT state, count(*)::int AS n FROM lanekeeper_demo.attempt_end GROUP BY state`
        const of = (state: string) => ends.find((row) => row.state === state)?.n ?? 0
        for (const state of ["completed", "failed", "snoozed", "rescued", "died"]) assert.isAbove(of(state), 0, state)
        assert.include(stdout, `jobs      ${of("completed")} completed, ${of("died")} dead, `)
        assert.include(stdout, `${of("completed")} succeeded, ${of("failed")} failed and were tried again, `)
        assert.include(stdout, `${of("snoozed")} snoozed, ${of("rescued")} rescued from a worker that vanished, `)
        for (const [, pid] of said.matchAll(/process (\d+)/g))
          yield* eventually(isAlive(Number(pid)), (alive) => !alive)
        const left = sql`
          SELECT FROM pg_stat_activity WHERE application_name LIKE 'lanekeeper %' AND datname = current_database()`
        yield* eventually(left, (rows) => rows.length === 0)
      }).pipe(Effect.scoped, Effect.provide(TestDatabase.layer)),
    90_000
  )

  it.live(
    "brings a database of its own where there is none, sums up as JSON, and leaves nothing behind [LK-K2] [LK-K1]",
    () =>
      Effect.gen(function* () {
        const cwd = yield* temporaryFolder
        const { code, stderr, stdout } = yield* run(process.execPath, [main, "dev", "--for", "3s", "--json"], { cwd })
        assert.strictEqual(code, 0, stderr)
        const decode = Schema.decodeEffect(Schema.fromJsonString(DevSummary))
        const { places } = yield* decode(stdout, { onExcessProperty: "error" })
        assert.isAbove(
          Object.values(places).reduce((sum, jobs) => sum + jobs, 0),
          0
        )
        const [, port] = /@127\.0\.0\.1:(\d+)\//.exec(stderr)!
        const refused = yield* Effect.promise(() =>
          fetch(`http://127.0.0.1:${port}`).then(
            () => false,
            (error: { readonly cause?: { readonly code?: string } }) => error.cause?.code === "ECONNREFUSED"
          )
        )
        assert.isTrue(refused)
      }).pipe(Effect.scoped),
    60_000
  )
})
