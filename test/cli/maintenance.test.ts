/** Three processes of one schema, as they are started in earnest, through everything that can happen to a leader. */
import { assert, describe, it } from "@effect/vitest"
import { PgClient } from "@effect/sql-pg/PgClient"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import { Client } from "../../src/Client.ts"
import * as Job from "../../src/Job.ts"
import { lanes } from "../../src/lanes/index.ts"
import { layerPostgres } from "../../src/store/postgres/index.ts"
import { Store, type Term, UnderTerm } from "../../src/store/Store.ts"
import { Wakeup } from "../../src/Wakeup.ts"
import { job } from "../store/suiteWorld.ts"
import { eventually } from "../support/eventually.ts"
import { makeNetwork } from "../support/network.ts"
import { main, run, type Running, start } from "../support/processes.ts"
import { TestDatabase } from "../support/TestDatabase.ts"
import * as Layer from "effect/Layer"

const always = lanes.filter(({ quietHour }) => quietHour === undefined).map(({ name }) => name)

const ground = layerPostgres().pipe(Layer.provideMerge(TestDatabase.layer))

const test = (sentence: string, body: Effect.Effect<void, unknown, TestDatabase | PgClient | Store | Scope.Scope>) =>
  it.live(sentence, () => body.pipe(Effect.scoped, Effect.provide(ground)), 60_000)

const maintainOver = Effect.fnUntraced(function* (url: string) {
  const running = yield* start(process.execPath, [main, "maintenance"], { env: { DATABASE_URL: url } })
  yield* running.says("Started")
  return running
})

const maintain = Effect.flatMap(TestDatabase, ({ url }) => maintainOver(url))

const three = Effect.all([maintain, maintain, maintain], { concurrency: 3 })

/** The term, and the one of the processes that holds it. */
const leaderOf = Effect.fnUntraced(function* (processes: ReadonlyArray<Running>, after: Term = 0n as Term) {
  const { leader } = yield* Store
  yield* eventually(leader, ({ holder, term }) => term > after && Option.isSome(holder))
  const { holder, term } = yield* leader
  const [, pid] = Option.getOrThrow(holder).split(":")
  const process = processes.find((one) => one.pid === Number(pid))
  return { term, process: process ?? assert.fail(`nobody here is ${pid}`) }
})

/** Who holds the lock of leaders: one, whatever happens. */
const holders = Effect.gen(function* () {
  const sql = yield* PgClient
  return yield* sql<{ readonly pid: number }>`
    SELECT pg_locks.pid FROM pg_locks JOIN pg_stat_activity USING (pid)
    WHERE locktype = 'advisory' AND granted AND application_name LIKE 'lanekeeper % leader'
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`
})

/** A job becomes due and is promoted by whoever leads. */
const isMaintained = Effect.gen(function* () {
  const store = yield* Store
  const sql = yield* PgClient
  const [id] = yield* store.enqueue([job({ runIn: Duration.hours(1) })])
  yield* sql`UPDATE lanekeeper.timed SET run_at = clock_timestamp()`
  yield* eventually(store.place(id!), (place) => Option.getOrNull(place) === "ready")
})

/** Silence as it is counted, in a tenth of the time. */
const hasty = { LANEKEEPER_HEARTBEAT: "200 millis", LANEKEEPER_STALE_AFTER: "1 second" }

describe("lanekeeper maintenance", () => {
  test(
    "enqueues what is to follow a rescue, and tells of it, with no code of the application [LK-C2, LK-C7]",
    Effect.gen(function* () {
      const store = yield* Store
      const { url } = yield* TestDatabase
      const Alarm = Job.make("alarm", { payload: Job.FollowUp, queue: "alarms" })
      const Pay = Job.make("pay", { payload: {}, queue: "post", onRescue: Alarm })
      const { id } = yield* Pay.enqueue({}).pipe(
        Effect.provide(Client.layer.pipe(Layer.provide(Layer.merge(Layer.succeed(Store, store), Wakeup.layerLocal))))
      )
      const worker = yield* store.register("vanishes")
      yield* store.claim({ worker, kinds: ["pay"], queues: [{ queue: "post", limit: 1 }] })
      const env = { DATABASE_URL: url, LANEKEEPER_LANES: "rescue-stale=200 millis", ...hasty }
      yield* start(process.execPath, [main, "maintenance"], { env })
      yield* eventually(store.place(id), (place) => Option.getOrNull(place) === "ready")
      const [followUp] = yield* store.page({ place: "ready", queue: "alarms", limit: 2 })
      const given = yield* Alarm.decode(followUp!.payload, null)
      assert.deepInclude(given, { type: "rescued", job: id, kind: "pay", attempt: 1, rescues: 1 })
      yield* eventually(store.events({ after: 0n, limit: 9 }), (events) => events.length > 0)
      const [event] = yield* store.events({ after: 0n, limit: 9 })
      assert.deepInclude(event!.details, { worker: String(worker), name: "vanishes", rescues: 1, place: "ready" })
      assert.isAbove(event!.details["silentMs"] as number, 1_000)
    })
  )

  test(
    "is led by another process after the leader was killed [LK-B1, LK-P1]",
    Effect.gen(function* () {
      const processes = yield* three
      const first = yield* leaderOf(processes)
      yield* isMaintained
      yield* first.process.signal("SIGKILL")
      const second = yield* leaderOf(processes, first.term)
      assert.notStrictEqual(second.process.pid, first.process.pid)
      yield* isMaintained
      assert.lengthOf(yield* holders, 1)
    })
  )

  test(
    "ends with 0 on SIGTERM, leaves no statement on the server, and is followed at once [LK-A3, LK-A10, LK-A15, LK-B1]",
    Effect.gen(function* () {
      const sql = yield* PgClient
      const processes = yield* three
      const first = yield* leaderOf(processes)
      yield* first.process.signal("SIGTERM")
      const { code, stderr, stdout } = yield* first.process.ended
      assert.strictEqual(code, 0, stdout + stderr)
      const second = yield* leaderOf(processes, first.term)
      assert.strictEqual(second.term, first.term + 1n)
      const [one, other] = processes.filter(({ pid }) => pid !== first.process.pid)
      yield* Effect.all([one!.signal("SIGTERM"), other!.signal("SIGINT")])
      const ends = yield* Effect.all([one!.ended, other!.ended])
      assert.deepStrictEqual(
        ends.map(({ code }) => code),
        [0, 0]
      )
      const left = sql`SELECT FROM pg_stat_activity WHERE application_name LIKE 'lanekeeper %' AND datname = current_database()`
      yield* eventually(left, (rows) => rows.length === 0)
      assert.deepStrictEqual((yield* (yield* Store).leader).holder, Option.none())
    })
  )

  test(
    "is led again after the server cut the leader's connection [LK-B1, LK-B3]",
    Effect.gen(function* () {
      const sql = yield* PgClient
      const processes = yield* three
      const first = yield* leaderOf(processes)
      const [holder] = yield* holders
      yield* sql`SELECT pg_terminate_backend(${holder!.pid})`
      yield* first.process.says("Not leading, and trying again")
      yield* leaderOf(processes, first.term)
      yield* isMaintained
      assert.lengthOf(yield* holders, 1)
    })
  )

  test(
    "goes on by itself when the database was away, with nothing to restart by hand [LK-P1]",
    Effect.gen(function* () {
      const { cut, mend, url } = yield* makeNetwork((yield* TestDatabase).url)
      const only = yield* maintainOver(url)
      const { term } = yield* leaderOf([only])
      yield* cut
      yield* only.says("Not leading, and trying again")
      yield* mend
      yield* leaderOf([only], term)
      yield* isMaintained
      yield* only.signal("SIGTERM")
      assert.strictEqual((yield* only.ended).code, 0)
    })
  )

  test(
    "refuses settings that do not go together, with all other faults and without a database [LK-M1]",
    Effect.gen(function* () {
      const { code, stderr } = yield* run(process.execPath, [main, "maintenance"], {
        env: { DATABASE_URL: undefined, LANEKEEPER_STALE_AFTER: "5 seconds", LANEKEEPER_GRACE: "soon" }
      })
      assert.strictEqual(code, 78)
      for (const fault of ["DATABASE_URL is not set", 'LANEKEEPER_GRACE is "soon"']) assert.include(stderr, fault)
      assert.include(stderr, "LANEKEEPER_STALE_AFTER is 5s: it is longer than LANEKEEPER_HEARTBEAT, 5s")
    })
  )

  test(
    "refuses what it cannot work with, all of it at once [LK-A14, LK-M1]",
    Effect.gen(function* () {
      const { url } = yield* TestDatabase
      const wrong = yield* run(process.execPath, [main, "maintenance"], {
        env: { LANEKEEPER_STALE_AFTER: "soon", LANEKEEPER_LEADERSHIP: "vote", LANEKEEPER_SCHEMA: "pg_mine" }
      })
      assert.strictEqual(wrong.code, 78)
      for (const name of ["DATABASE_URL", "LANEKEEPER_STALE_AFTER", "LANEKEEPER_LEADERSHIP", "LANEKEEPER_SCHEMA"]) {
        assert.include(wrong.stderr, name)
      }
      const short = yield* run(process.execPath, [main, "maintenance"], {
        env: { DATABASE_URL: url, LANEKEEPER_STALE_AFTER: "5 seconds" }
      })
      assert.deepStrictEqual(
        [short.code, short.stderr],
        [78, "LANEKEEPER_STALE_AFTER is 5s: it is longer than LANEKEEPER_HEARTBEAT, 5s\n"]
      )
    })
  )
})

// At the same time, because what they wait for is that nothing happens for seconds.
describe.concurrent("lanekeeper maintenance, after a while", () => {
  test(
    "ends with one sentence when recovery fails again and again, and leaves nothing on the server [LK-A8, LK-A14]",
    Effect.gen(function* () {
      const sql = yield* PgClient
      const { url } = yield* TestDatabase
      yield* sql`ALTER TABLE lanekeeper.wait RENAME TO wait_elsewhere`
      const { code, stderr, stdout } = yield* run(process.execPath, [main, "maintenance"], {
        env: { DATABASE_URL: url }
      })
      assert.strictEqual(code, 1)
      assert.match(stderr, /^The recovery at start failed in rescue-callback \(.*lanekeeper\.wait.*\)\n$/)
      assert.lengthOf(stdout.match(/Could not start/g) ?? [], 5)
      assert.notInclude(stdout, "Leading")
      const left = sql`SELECT FROM pg_stat_activity WHERE application_name LIKE 'lanekeeper %' AND datname = current_database()`
      yield* eventually(left, (rows) => rows.length === 0)
    })
  )

  test(
    "is led by another process when the leader is frozen, which changes nothing when it wakes [LK-B1, LK-B2, LK-B4]",
    Effect.gen(function* () {
      const store = yield* Store
      const processes = yield* three
      const first = yield* leaderOf(processes)
      yield* first.process.signal("SIGSTOP")
      const second = yield* leaderOf(processes, first.term)
      assert.notStrictEqual(second.process.pid, first.process.pid)
      yield* isMaintained
      yield* store.enqueue([job({ runIn: Duration.millis(1) })])
      const old = yield* Effect.provideService(store.promote({ limit: 9 }), UnderTerm, Option.some(first.term))
      assert.strictEqual(old.ready, 0)
      yield* first.process.signal("SIGCONT")
      yield* first.process.says("Not leading, and trying again")
      yield* isMaintained
      assert.strictEqual((yield* store.leader).term, second.term)
      assert.lengthOf(yield* holders, 1)
    })
  )

  test(
    "is led by another process when the leader's network swallows everything [LK-B1, LK-P1]",
    Effect.gen(function* () {
      const { blackHole, mend, url } = yield* makeNetwork((yield* TestDatabase).url)
      const cutOff = yield* maintainOver(url)
      const first = yield* leaderOf([cutOff])
      const other = yield* maintain
      yield* blackHole
      const second = yield* leaderOf([cutOff, other], first.term)
      assert.strictEqual(second.process.pid, other.pid)
      yield* isMaintained
      yield* cutOff.says("Not leading, and trying again")
      yield* mend
      yield* isMaintained
      assert.lengthOf(yield* holders, 1)
    })
  )
})

describe("lanekeeper tick", () => {
  const tick = Effect.fnUntraced(function* (...args: ReadonlyArray<string>) {
    const { url } = yield* TestDatabase
    return yield* run(process.execPath, [main, "tick", ...args], { env: { DATABASE_URL: url } })
  })

  test(
    "runs the lanes that are due once, says what they did, and ends [LK-A5]",
    Effect.gen(function* () {
      const store = yield* Store
      const sql = yield* PgClient
      yield* store.enqueue([job({ runIn: Duration.hours(1) }), job({ runIn: Duration.hours(1) })])
      yield* sql`UPDATE lanekeeper.timed SET run_at = clock_timestamp()`
      const { code, stderr, stdout } = yield* tick("--json")
      assert.strictEqual(code, 0, stderr)
      const { left, ran } = JSON.parse(stdout)
      assert.deepStrictEqual(left, [])
      assert.deepInclude(ran[0], { lane: "promote", rows: { ready: 2 }, error: null })
      assert.includeMembers(
        ran.map(({ lane }: { lane: string }) => lane),
        always
      )
      assert.includeMembers(
        (yield* store.laneRuns).map(({ lane }) => lane),
        always
      )
      const again = yield* tick("--lane", "promote")
      assert.match(again.stdout, /^promote: nothing to do \(\d+ ms\)\n$/)
    })
  )

  test(
    "works beside a leader [LK-A5]",
    Effect.gen(function* () {
      const leader = yield* maintain
      yield* leader.says("Leading")
      const { code, stderr } = yield* tick()
      assert.strictEqual(code, 0, stderr)
      yield* isMaintained
    })
  )

  test(
    "fails on a lane that does not exist, and on a lane that fails, each in a sentence [LK-A5]",
    Effect.gen(function* () {
      const sql = yield* PgClient
      const unknown = yield* tick("--lane", "promot")
      assert.deepStrictEqual(
        [unknown.code, unknown.stderr],
        [1, `There is no lane "promot": there are ${lanes.map(({ name }) => name).join(", ")}\n`]
      )
      yield* sql`ALTER TABLE lanekeeper.wait RENAME TO wait_elsewhere`
      const broken = yield* tick()
      assert.strictEqual(broken.code, 1)
      assert.include(broken.stderr, "The lane rescue-callback failed (")
      assert.include(broken.stdout, "promote: nothing to do")
    })
  )
})
