/** What the commands may do as logins that are members of one group role and of nothing else. */
import { assert, describe } from "@effect/vitest"
import { PgClient } from "@effect/sql-pg/PgClient"
import * as Effect from "effect/Effect"
import { Client } from "../../src/Client.ts"
import * as Roles from "../../src/store/postgres/Roles.ts"
import { SchemaName } from "../../src/store/postgres/SchemaName.ts"
import { runCommand } from "../support/commandLine.ts"
import { main, run } from "../support/processes.ts"
import { randomName, TestDatabase, urlTo } from "../support/TestDatabase.ts"
import { dies, Note, runNext, test } from "./world.ts"

const password = "only-for-tests"

/** The database as such a login reaches it. */
const as = Effect.fnUntraced(function* (role: Roles.Role) {
  const sql = yield* PgClient
  const { name } = yield* TestDatabase
  const schema = SchemaName.make("lanekeeper")
  const made = yield* Roles.make({ schema })
  const login = randomName(role)
  yield* sql.unsafe(`CREATE ROLE "${login}" LOGIN PASSWORD '${password}'`)
  yield* sql.unsafe(`GRANT "${Roles.roleName(schema, role)}" TO "${login}"`)
  yield* Effect.addFinalizer(() =>
    Effect.orDie(
      Effect.andThen(
        sql.unsafe(`DROP OWNED BY ${[...made, login].map((one) => `"${one}"`).join(", ")}`),
        sql.unsafe(`DROP ROLE "${login}"`)
      )
    )
  )
  return urlTo(name, { user: login, password })
})

const reads = ["jobs list", "queues list", "dead list", "workers", "lanes"]

describe("The command line", () => {
  test(
    "reads, moves and pauses as an operator [LK-N1] [LK-K1]",
    Effect.gen(function* () {
      const { id: later } = yield* Note.enqueue(1, { delay: "1 hour" })
      const { id: ready } = yield* Note.enqueue(1, { queue: "ready" })
      yield* Note.enqueueMany([1, 2], { queue: "dying" })
      const dead = [(yield* runNext("dying", dies)).id, (yield* runNext("dying", dies)).id]
      const DATABASE_URL = yield* as("operator")
      const moves = [
        `jobs move ${ready} --queue other`,
        `jobs retry ${later}`,
        `jobs cancel ${later}`,
        `dead redrive ${dead[0]}`,
        `dead purge ${dead[1]}`,
        "queues pause other",
        "queues resume other"
      ]
      const looks = [...reads, `jobs show ${ready}`, `jobs explain ${ready}`]
      for (const line of [...looks, ...moves]) {
        const yes = line.startsWith("dead purge") ? ["--yes"] : []
        const { exit, stderr, succeeded } = yield* runCommand([...line.split(" "), ...yes], { DATABASE_URL })
        assert.isTrue(succeeded, `${line}: ${stderr}${JSON.stringify(exit)}`)
      }
      const { stdout } = yield* runCommand(["doctor"], { DATABASE_URL })
      assert.include(stdout, "note   snapshots")
      assert.notInclude(stdout, "could not be examined")
    })
  )

  test(
    "enqueues as a producer, who cannot be told why nobody runs the job, and as an operator [LK-N1] [LK-K1]",
    Effect.gen(function* () {
      for (const role of ["producer", "operator"] as const) {
        const DATABASE_URL = yield* as(role)
        for (const unique of [[], ["--unique", role]]) {
          const { stderr, stdout, succeeded } = yield* runCommand(["jobs", "enqueue", "mail", ...unique], {
            DATABASE_URL
          })
          assert.isTrue(succeeded, stderr)
          assert.match(stdout, /was enqueued$/)
        }
      }
      assert.lengthOf(yield* (yield* Client).list({ place: "ready", limit: 9 }), 4)
    })
  )

  test(
    "reads as a viewer, and says which login may do more [LK-N1] [LK-K1]",
    Effect.gen(function* () {
      const { id } = yield* Note.enqueue(1, { delay: "1 hour" })
      const DATABASE_URL = yield* as("viewer")
      for (const line of [...reads, `jobs show ${id}`, `jobs explain ${id}`]) {
        const { exit, stderr, succeeded } = yield* runCommand(line.split(" "), { DATABASE_URL })
        assert.isTrue(succeeded, `${line}: ${stderr}${JSON.stringify(exit)}`)
      }
      const { code, stderr } = yield* run(process.execPath, [main, "jobs", "cancel", id], { env: { DATABASE_URL } })
      assert.strictEqual(code, 1)
      assert.match(
        stderr,
        /^The database refused \(permission denied for .*\): use a login that may, such as a member of lanekeeper_operator/
      )
      assert.strictEqual((yield* (yield* Client).list({ place: "scheduled", limit: 9 })).length, 1)
      const sql = yield* PgClient
      const unseen = yield* sql`
        SELECT relname FROM pg_class WHERE relnamespace = 'lanekeeper'::regnamespace AND relkind IN ('r', 'p', 'v')
        AND NOT has_table_privilege(${new URL(DATABASE_URL).username}, oid, 'SELECT')`
      assert.deepStrictEqual(unseen, [], "whoever adds a table lets the viewer read it")
    })
  )
})
