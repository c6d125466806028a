/** `lanekeeper worker`: the module it is given, what it is told, and the connections it takes. */
import { assert, describe, it } from "@effect/vitest"
import { PgClient } from "@effect/sql-pg/PgClient"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import { writeFile } from "node:fs/promises"
import { join } from "node:path"
import * as Settings from "../../src/Settings.ts"
import { connectionsOf } from "../../src/roles/worker.ts"
import { Wakeup } from "../../src/Wakeup.ts"
import { runCommand } from "../support/commandLine.ts"
import { eventually } from "../support/eventually.ts"
import { root } from "../support/processes.ts"
import { temporaryFolder } from "../support/temporaryFolder.ts"
import { ends, enqueue, saidBy, startWorker, test, untilPlaces, untilSaid, workerOf } from "../support/workers.ts"

/** What the command says of a module with this text. */
const refusal = Effect.fnUntraced(function* (text: string, env: Readonly<Record<string, string>> = {}) {
  const folder = yield* temporaryFolder
  const file = join(folder, "jobs.mjs")
  yield* Effect.promise(() => writeFile(file, text))
  const { exit } = yield* runCommand(["worker", "--app", file], {
    DATABASE_URL: "postgres://nobody@127.0.0.1:1/nowhere",
    ...env
  })
  const error = Exit.isFailure(exit) ? Option.getOrUndefined(Cause.findErrorOption(exit.cause)) : undefined
  return error instanceof Error ? error.message.replaceAll(file, "jobs.mjs") : assert.fail(JSON.stringify(exit))
})

describe("lanekeeper worker", () => {
  it.live("says what is wrong with the module it is given, and what to write instead [LK-A3, LK-A7]", () =>
    Effect.gen(function* () {
      const wanted =
        "export the layers of your kinds' `handle`, such as `export const handlers = Layer.mergeAll(Email, Resize)`"
      assert.strictEqual(yield* refusal("export const handler = 1"), `jobs.mjs has no export \`handlers\`: ${wanted}`)
      assert.strictEqual(
        yield* refusal("export const handlers = { email() {} }"),
        `jobs.mjs exports \`handlers\`, which is no Layer: ${wanted}`
      )
      const layer = `import * as Layer from "${join(root, "node_modules/effect/dist/Layer.js")}"; export const handlers = Layer.empty;`
      assert.match(
        yield* refusal(`${layer} export const queues = { email: 20 }`),
        /^jobs\.mjs exports `queues`, .*: export it as `export const queues = \{ email: \{ concurrency: 20 \} \}`/
      )
      const thrown = yield* refusal(`throw new Error("no key", { cause: new Error("the vault is sealed") })`)
      assert.match(thrown, /^jobs\.mjs could not be loaded: Error: no key\n[^]*caused by Error: the vault is sealed/)
      const { exit } = yield* runCommand(["worker", "--app", "nowhere.js"], {
        DATABASE_URL: "postgres://nobody@127.0.0.1:1/nowhere"
      })
      assert.include(JSON.stringify(exit), "does not exist (--app, from ")
    }).pipe(Effect.scoped)
  )

  it.live("refuses settings it cannot work with, all of them at once [LK-M1]", () =>
    Effect.gen(function* () {
      const faults = yield* refusal("", {
        LANEKEEPER_CONCURRENCY: "0",
        LANEKEEPER_QUEUES: "email=many,default",
        LANEKEEPER_POLL_INTERVAL: "now",
        LANEKEEPER_DRAIN: "later",
        LANEKEEPER_POOL: "7"
      })
      assert.sameMembers(
        faults.split("\n").map((fault) => fault.split(" ")[0]!),
        Object.values(Settings.workerSettings).map(({ variable }) => variable)
      )
    }).pipe(Effect.scoped)
  )

  it("leaves handlers a connection of the smallest pool [LK-K8]", () => {
    assert.strictEqual(connectionsOf(8).handlers, 1)
  })

  test(
    "serves the queues it is told, instead of those of its module [LK-I1, LK-M1]",
    Effect.gen(function* () {
      yield* startWorker({ LANEKEEPER_QUEUES: "email=20,bulk", LANEKEEPER_CONCURRENCY: "3" })
      const sql = yield* PgClient
      const [served] = yield* sql`SELECT queues FROM lanekeeper.worker`
      assert.deepStrictEqual(served, { queues: ["email", "bulk"] })
    })
  )

  test(
    "beats, claims and finishes while its handlers hold all the connections they have, and takes no more than it says [LK-F7, LK-G2, LK-K8]",
    Effect.gen(function* () {
      const sql = yield* PgClient
      yield* sql`CREATE TABLE transfer (job text, attempt int)`
      yield* enqueue("transfer", 10)
      const worker = yield* startWorker({ HOLDS: "yes", LANEKEEPER_POOL: "9", LANEKEEPER_HEARTBEAT: "100 millis" })
      yield* untilSaid(worker, "started", 2) // the two that have a connection; eight wait for one
      const { beats } = yield* workerOf(worker)
      yield* eventually(workerOf(worker), (row) => row.beats >= beats + 5)
      const [noop] = yield* enqueue("noop")
      yield* (yield* Wakeup).poke(["default"])
      yield* untilPlaces({ completed: 1, running: 10 })
      assert.include(yield* saidBy(worker, "ended"), `${noop} 1`)
      assert.lengthOf(yield* sql`SELECT FROM transfer`, 0)

      const rows = yield* sql`
        SELECT FROM pg_stat_activity WHERE datname = current_database() AND client_port IS NOT NULL
        AND application_name LIKE 'lanekeeper %'`
      assert.isAtMost(rows.length, 11)
      assert.match(yield* worker.said, /Takes connections, at most.*total.*11/)

      yield* worker.signal("SIGUSR2")
      yield* untilPlaces({ completed: 11 })
      assert.lengthOf(yield* sql`SELECT FROM transfer`, 10)
      assert.deepStrictEqual(yield* ends, { "completed 1": 11 })
    })
  )
})
