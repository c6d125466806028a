/** Every trouble the doctor knows, made for real, with its cause and its remedy. */
import { assert, describe, it } from "@effect/vitest"
import * as PgClientModule from "@effect/sql-pg/PgClient"
import { PgClient } from "@effect/sql-pg/PgClient"
import * as PgConnection from "@effect/sql-pg/PgConnection"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import { Client } from "../src/Client.ts"
import { type DoctorOptions, examine, type Finding } from "../src/Doctor.ts"
import { numberOf } from "../src/domain/Job.ts"
import * as Job from "../src/Job.ts"
import { lanes } from "../src/lanes/index.ts"
import * as Lanekeeper from "../src/Lanekeeper.ts"
import * as Migrations from "../src/store/postgres/Migrations.ts"
import { type LaneRun, Store } from "../src/store/Store.ts"
import { eventually } from "./support/eventually.ts"
import { maintainer } from "./support/maintainer.ts"
import { makePooler } from "./support/pooler.ts"
import { main, start } from "./support/processes.ts"
import { randomName, TestDatabase, urlTo } from "./support/TestDatabase.ts"

const Note = Job.make("note", { payload: Schema.Finite })

const ground = Lanekeeper.layerClient.pipe(
  Layer.provideMerge(Lanekeeper.layerPostgres()),
  Layer.provideMerge(TestDatabase.layer)
)

const test = (
  sentence: string,
  body: Effect.Effect<void, unknown, Client | PgClient | Store | TestDatabase | Scope.Scope>
) => it.live(sentence, () => body.pipe(Effect.scoped, Effect.provide(ground)), 30_000)

const findings = (options: Partial<DoctorOptions> = {}) => examine({ lanes, longerThan: 0, ...options })

/** Only what is not fine. */
const troubles = (found: ReadonlyArray<Finding>) => found.filter(({ verdict }) => verdict !== "fine")

const of = (found: ReadonlyArray<Finding>, check: string) => {
  const [first, ...rest] = troubles(found).filter((finding) => finding.check === check)
  assert.isEmpty(rest, "one finding names one trouble")
  return first ?? assert.fail(`nothing was found of ${check}: ${JSON.stringify(found)}`)
}

const ran = (lane: string, age: Duration.Input, error: string | null = null): LaneRun => ({
  lane,
  age: Duration.fromInputUnsafe(age),
  took: Duration.zero,
  rows: 0,
  failures: error === null ? 0 : 3,
  error
})

/** A leader, lanes that run and a worker for notes. */
const inHealth = Effect.gen(function* () {
  const store = yield* Store
  yield* store.takeLead({ holder: "box:1", lease: Duration.hours(1) })
  yield* store.recordRuns(lanes.map(({ name }) => ran(name, "1 second")))
  return yield* store.register("box:2", { kinds: ["note"], queues: ["post"] })
})

/** Another session, inside a transaction that has read something. */
const reading = Effect.fnUntraced(function* (applicationName: string, statement: string) {
  const { url } = yield* TestDatabase
  const session = yield* PgConnection.make({ url: Redacted.make(url), applicationName })
  yield* session.query("BEGIN ISOLATION LEVEL REPEATABLE READ")
  yield* session.query(statement)
  return session
})

describe("The doctor", () => {
  test(
    "finds nothing wrong where all is well, and says what it saw [LK-K3]",
    Effect.gen(function* () {
      yield* inHealth
      yield* Note.enqueue(1, { queue: "post" })
      const found = yield* findings()
      assert.deepStrictEqual(troubles(found), [])
      const seen = found.map(({ check }) => check)
      for (const check of ["schema", "database", "clock", "connections", "snapshots", "publications", "pooler"]) {
        assert.include(seen, check)
      }
      for (const check of ["notifications", "leader", "lanes", "overdue", "workers", "kinds", "storage"]) {
        assert.include(seen, check)
      }
      assert.match(found.find(({ check }) => check === "leader")!.cause, /^box:1 leads in term 1, for /)
    })
  )

  test(
    "finds that no maintenance runs anywhere [LK-K3] [LK-D10]",
    Effect.gen(function* () {
      yield* inHealth
      const store = yield* Store
      const sql = yield* PgClient
      yield* sql`UPDATE lanekeeper.lane_run SET started_at = clock_timestamp() - interval '5 minutes'`
      assert.deepInclude(of(yield* findings(), "leader"), {
        verdict: "wrong",
        cause: "No maintenance runs anywhere: a lane ran last 5m ago",
        remedy: "start a worker or lanekeeper maintenance"
      })
      yield* sql`DELETE FROM lanekeeper.lane_run`
      assert.match(of(yield* findings(), "leader").cause, /: no lane ever ran$/)
      yield* store.recordRuns(lanes.map(({ name }) => ran(name, "1 second")))
      yield* store.resign((yield* store.leader).term)
      const told = of(yield* findings(), "leader")
      assert.deepInclude(told, { verdict: "notice" })
      assert.match(told.cause, /^Nobody leads now, and a lane ran last /)
    })
  )

  test(
    "finds a lane that stopped, one that fails, and what is late for it [LK-K3]",
    Effect.gen(function* () {
      yield* inHealth
      const sql = yield* PgClient
      const store = yield* Store
      yield* sql`UPDATE lanekeeper.lane_run SET started_at = clock_timestamp() - interval '2 minutes' WHERE lane = 'promote'`
      yield* Note.enqueue(1, { delay: "1 hour" })
      yield* sql`UPDATE lanekeeper.timed SET run_at = clock_timestamp() - interval '2 minutes'`
      const found = yield* findings()
      assert.deepInclude(of(found, "lanes"), {
        verdict: "wrong",
        cause: "The lane promote ran last 2m ago and should every 250ms"
      })
      assert.deepInclude(of(found, "overdue"), {
        verdict: "wrong",
        cause: "The oldest scheduled job is 2m late",
        remedy: "see that the lane promote runs: start a worker or lanekeeper maintenance"
      })
      yield* store.recordRuns([ran("promote", 0, "permission denied for table ticket")])
      assert.strictEqual(
        of(yield* findings(), "lanes").cause,
        "The lane promote failed 3 times in a row: permission denied for table ticket"
      )
    })
  )

  test(
    "misses no lane of a leader that has just begun, and misses it later [LK-K3]",
    Effect.gen(function* () {
      yield* inHealth
      const sql = yield* PgClient
      yield* sql`DELETE FROM lanekeeper.lane_run WHERE lane = 'promote'`
      assert.isEmpty(troubles(yield* findings()))
      yield* sql`UPDATE lanekeeper.leader SET since = since - interval '31 seconds'`
      assert.deepInclude(of(yield* findings(), "lanes"), {
        verdict: "wrong",
        cause: "The lane promote never ran and should every 250ms"
      })
    })
  )

  test(
    "finds the lane that fails under a leader, in the database's words, and what to do [LK-K3] [LK-B9]",
    Effect.gen(function* () {
      const sql = yield* PgClient
      const env = { DATABASE_URL: yield* maintainer, LANEKEEPER_LANES: "rescue-callback=200 millis" }
      const leader = yield* start(process.execPath, [main, "maintenance"], { env })
      yield* leader.says("Leading")
      yield* sql`REVOKE ALL ON lanekeeper.wait FROM lanekeeper_maintenance`
      yield* eventually(findings(), (found) =>
        found.some(
          ({ cause, check, verdict }) =>
            check === "lanes" &&
            verdict === "wrong" &&
            /^The lane rescue-callback failed \d+ times? in a row: permission denied for table wait$/.test(cause)
        )
      )
    })
  )

  test(
    "finds workers that are silent or dead, and kinds and queues nobody serves [LK-K3]",
    Effect.gen(function* () {
      const worker = yield* inHealth
      const client = yield* Client
      const store = yield* Store
      const sql = yield* PgClient
      const Mail = Job.make("mail", { payload: Schema.Finite })
      yield* Mail.enqueue(1, { queue: "post" })
      assert.deepInclude(of(yield* findings(), "kinds"), {
        verdict: "wrong",
        cause: "Jobs of kind mail are ready in post, and no live worker there has a handler for it",
        remedy: "deploy a worker with a handler for mail"
      })
      yield* client.pauseQueue("post")
      const paused = yield* findings()
      assert.deepInclude(of(paused, "queues"), {
        verdict: "notice",
        cause: "The queue post is paused and has jobs ready",
        remedy: "run lanekeeper queues resume post"
      })
      yield* Note.enqueue(1, { queue: "bulk" })
      assert.strictEqual(
        of(yield* findings(), "kinds").cause,
        "Jobs of kind note are ready in bulk, which no live worker serves"
      )
      yield* sql`UPDATE lanekeeper.worker SET beat_at = clock_timestamp() - interval '1 minute'`
      assert.match(of(yield* findings(), "workers").cause, /^The worker box:2 has been silent for 1m /)
      yield* store.declareDead(worker, 0)
      assert.deepInclude(of(yield* findings(), "workers"), {
        verdict: "notice",
        cause: "No worker is alive, 1 declared dead"
      })
    })
  )

  test(
    "finds who pins a snapshot, whatever it reads [LK-K3]",
    Effect.gen(function* () {
      yield* inHealth
      yield* reading("a long report", "SELECT count(*) FROM pg_class")
      const found = of(yield* findings(), "snapshots")
      assert.strictEqual(found.verdict, "wrong")
      assert.match(
        found.cause,
        /^a long report of \w+ \(pid \d+\) has pinned a snapshot for .*: dead rows of every table/
      )
      assert.match(found.remedy!, /pg_terminate_backend\(\d+\)$/)
      assert.deepStrictEqual(troubles(yield* findings({ longerThan: "1 hour" })), [])
    })
  )

  test(
    "finds who holds a slot that is to be emptied, and what the lane found there [LK-K3] [LK-D1]",
    Effect.gen(function* () {
      yield* inHealth
      const sql = yield* PgClient
      const session = yield* reading("pg_dump", "SELECT count(*) FROM lanekeeper.job_3")
      const found = of(yield* findings(), "storage")
      assert.strictEqual(found.verdict, "wrong")
      assert.match(found.cause, /^pg_dump of \w+ \(pid \d+\) has held job_3 for .*: they cannot be emptied meanwhile$/)
      yield* session.query("ROLLBACK")
      // A slot whose turn is over, read by a dump while the lane comes by.
      yield* sql`UPDATE lanekeeper.ring SET period = '10000 days'`
      yield* Note.enqueue(1, { queue: "post" })
      const [body] = yield* sql<{ readonly slot: number }>`SELECT slot FROM lanekeeper.job`
      yield* sql`UPDATE lanekeeper.ring SET period = '5000 days', retention = '1 second'`
      const dump = yield* reading("pg_dump", `SELECT count(*) FROM lanekeeper.job_${body!.slot}`)
      const store = yield* Store
      const looked = Effect.andThen(store.reclaim({ limit: 1_000 }), findings({ longerThan: "1 hour" }))
      const notice = of(yield* looked, "storage")
      assert.strictEqual(notice.verdict, "notice")
      assert.match(notice.cause, new RegExp(`^The slot ${body!.slot} could not be emptied: .*pg_dump`))
      yield* dump.query("ROLLBACK")
    })
  )

  test(
    "finds a publication that sends its tables away, and one that makes claims fail [LK-K3]",
    Effect.gen(function* () {
      yield* inHealth
      const sql = yield* PgClient
      yield* sql`CREATE PUBLICATION everything FOR ALL TABLES`
      assert.deepInclude(of(yield* findings(), "publications"), { verdict: "notice" })
      yield* sql`ALTER TABLE lanekeeper.ticket_1 REPLICA IDENTITY NOTHING`
      const found = of(yield* findings(), "publications")
      assert.deepInclude(found, {
        verdict: "wrong",
        cause: "The publication everything makes deletes from ticket_1 fail: they have no replica identity"
      })
      const refused = yield* Effect.flip(sql`DELETE FROM lanekeeper.ticket_1`)
      assert.match(String(refused.reason.cause), /replica identity/)
    })
  )

  test(
    "finds rows that contradict each other, as the last walk over all of them did [LK-K3] [LK-D7]",
    Effect.gen(function* () {
      yield* inHealth
      const store = yield* Store
      const sql = yield* PgClient
      const { id } = yield* Note.enqueue(1, { queue: "post" })
      yield* sql`
        INSERT INTO lanekeeper.timed (job, run_at, attempt, failures, crashes, slot, priority, queue, kind)
        SELECT id, now() + interval '1 hour', 0, 0, 0, slot, priority, queue, kind FROM lanekeeper.job WHERE id = ${numberOf(id)}`
      const walk = store.reconcile({ limit: 256, crashBudget: 3 })
      yield* Effect.repeat(walk, { while: ({ full }) => full })
      assert.match(
        of(yield* findings(), "damage").cause,
        /^1 row in contradiction to others \(job with several pointers\)/
      )
    })
  )

  test(
    "finds that this machine's clock is off [LK-K3] [LK-P1]",
    Effect.gen(function* () {
      yield* inHealth
      const clock = yield* Clock.Clock
      const ahead: Clock.Clock = Object.assign(Object.create(clock), {
        currentTimeMillis: Effect.map(clock.currentTimeMillis, (now) => now + 3_600_000)
      })
      const found = of(yield* Effect.provideService(findings(), Clock.Clock, ahead), "clock")
      assert.match(found.cause, /^This machine's clock is 1h (\ds )?ahead of the server's/)
      assert.match(found.remedy!, /^let both keep time by NTP/)
    })
  )

  test(
    "finds a pooler that swaps sessions, and that notifications do not come through it [LK-K3]",
    Effect.gen(function* () {
      yield* inHealth
      const { url } = yield* TestDatabase
      const pooled = yield* makePooler(url)
      const through = (options?: Partial<DoctorOptions>) =>
        findings(options).pipe(
          Effect.provide(PgClientModule.layer({ url: Redacted.make(pooled), maxConnections: 1 }), { local: true })
        )
      const found = yield* through()
      assert.deepInclude(of(found, "pooler"), {
        verdict: "wrong",
        cause:
          "A pooler swaps sessions under DATABASE_URL: nobody can hold the lock of leaders, and notifications are lost",
        remedy:
          "set LANEKEEPER_DIRECT_URL to the server itself, or LANEKEEPER_LEADERSHIP to lease and live with polling"
      })
      assert.match(of(found, "notifications").cause, /^A notification did not come back in 2s/)
      assert.deepStrictEqual(troubles(yield* through({ directUrl: Redacted.make(url) })), [])
    })
  )

  test(
    "finds that too few connections are left, and whose limit it is [LK-K3] [LK-K8]",
    Effect.gen(function* () {
      yield* inHealth
      const sql = yield* PgClient
      const { name } = yield* TestDatabase
      yield* sql.unsafe(`ALTER DATABASE ${name} CONNECTION LIMIT 5`)
      const found = of(yield* findings(), "connections")
      assert.match(
        found.cause,
        /^\d connections? of 5 \(the limit of the database\) (is|are) left, and a leader of maintenance takes 5$/
      )
      assert.strictEqual(found.remedy, "raise the database's CONNECTION LIMIT, or let other clients use fewer")
    })
  )

  test(
    "says what it may not see [LK-K3] [LK-N1]",
    Effect.gen(function* () {
      yield* inHealth
      const sql = yield* PgClient
      const { name } = yield* TestDatabase
      const login = randomName("looker")
      yield* sql.unsafe(`CREATE ROLE "${login}" LOGIN PASSWORD 'only-for-tests'`)
      yield* sql.unsafe(`GRANT USAGE ON SCHEMA lanekeeper TO "${login}"`)
      yield* sql.unsafe(`GRANT SELECT ON ALL TABLES IN SCHEMA lanekeeper TO "${login}"`)
      yield* Effect.addFinalizer(() =>
        Effect.orDie(Effect.andThen(sql.unsafe(`DROP OWNED BY "${login}"`), sql.unsafe(`DROP ROLE "${login}"`)))
      )
      const url = Redacted.make(urlTo(name, { user: login, password: "only-for-tests" }))
      const found = yield* findings().pipe(
        Effect.provide(PgClientModule.layer({ url, maxConnections: 1 }), { local: true })
      )
      assert.deepInclude(of(found, "snapshots"), { verdict: "notice" })
    })
  )

  test(
    "says what to do about a database that is read-only, unmigrated or away, and looks no further [LK-K3]",
    Effect.gen(function* () {
      const { name } = yield* TestDatabase
      const over = (url: string) =>
        findings().pipe(
          Effect.provide(PgClientModule.layer({ url: Redacted.make(url), maxConnections: 1 }), { local: true }),
          Effect.map(troubles)
        )
      const sql = yield* PgClient
      yield* inHealth
      yield* sql.unsafe(`ALTER DATABASE ${name} SET default_transaction_read_only = on`)
      const [readOnly] = yield* over(urlTo(name))
      assert.match(readOnly!.cause, /takes no writes/)
      yield* sql.unsafe(`ALTER DATABASE ${name} RESET default_transaction_read_only`)
      yield* sql.unsafe("DROP SCHEMA lanekeeper CASCADE")
      const [unmigrated] = yield* over(urlTo(name))
      assert.deepInclude(unmigrated!, {
        cause: "The database has no schema lanekeeper",
        remedy: "run `lanekeeper migrate`"
      })
      yield* Migrations.migrate()
      const away = yield* over("postgres://nobody:x@127.0.0.1:1/none")
      assert.match(away[0]!.cause, /^PostgreSQL at 127.0.0.1:1\/none is not available/)
    })
  )
})
