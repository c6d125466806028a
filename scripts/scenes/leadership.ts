/**
 * Prints how long a schema is without a leader, what an idle leader asks of the server, and how fast a backlog of due and of stale jobs drains, with the built
 * processes: `scripts/setup`, then `node scripts/scenes/leadership.ts`. Takes DATABASE_URL, else a server of its own.
 */
import * as PgClient from "@effect/sql-pg/PgClient"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as References from "effect/References"
import * as Schedule from "effect/Schedule"
import { spawn, type ChildProcess } from "node:child_process"
import { randomBytes } from "node:crypto"
import { join } from "node:path"
import { DevelopmentDatabase } from "../../src/DevelopmentDatabase.ts"
import { promote } from "../../src/lanes/promote.ts"
import { rescueStale } from "../../src/lanes/rescueStale.ts"
import { type Lane, runOnce, totalOf } from "../../src/lanes/Lane.ts"
import { layerPostgres } from "../../src/store/postgres/index.ts"
import * as Migrations from "../../src/store/postgres/Migrations.ts"
import { SchemaName } from "../../src/store/postgres/SchemaName.ts"
import { Store } from "../../src/store/Store.ts"
import { Wakeup } from "../../src/Wakeup.ts"

const schema = SchemaName.make(`scene_${randomBytes(4).toString("hex")}`)
const main = join(import.meta.dirname, "../../dist/main.js")

const start = (url: string) =>
  Effect.acquireRelease(
    Effect.sync(() =>
      spawn(process.execPath, [main, "maintenance", "--schema", schema], {
        stdio: "ignore",
        env: { ...process.env, DATABASE_URL: url }
      })
    ),
    (child) => Effect.sync(() => child.kill("SIGKILL"))
  )

/** Waits for a term after this one, by looking every 5 ms. */
const termAfter = (term: bigint) =>
  Effect.flatMap(Store, ({ leader }) =>
    leader.pipe(
      Effect.repeat({
        schedule: Schedule.spaced("5 millis"),
        until: ({ holder, term: now }) => now > term && Option.isSome(holder)
      })
    )
  )

/** From what is done to the leader until another leads. */
const without = Effect.fnUntraced(function* (
  url: string,
  what: string,
  act: (leader: ChildProcess) => Effect.Effect<unknown>
) {
  yield* Effect.gen(function* () {
    const children = [yield* start(url), yield* start(url), yield* start(url)]
    const first = yield* termAfter((yield* (yield* Store).leader).term)
    yield* Effect.sleep("2 seconds") // the others have long since asked
    const pid = Number(Option.getOrThrow(first.holder).split(":")[1])
    const leader = children.find((child) => child.pid === pid)!
    const began = yield* Clock.currentTimeMillis
    yield* act(leader)
    const ended = yield* termAfter(first.term)
    const took = (yield* Clock.currentTimeMillis) - began
    console.log(`${what}: another leads after ${took} ms (term ${first.term} to ${ended.term})`)
    leader.kill("SIGCONT")
  }).pipe(Effect.scoped)
})

const signal = (name: NodeJS.Signals) => (leader: ChildProcess) => Effect.sync(() => leader.kill(name))

const drain = Effect.fnUntraced(function* (lane: Lane, what: string) {
  const began = yield* Clock.currentTimeMillis
  let rows = 0
  let drained = false
  while (!drained) {
    const report = yield* runOnce(lane)
    if (report.error !== null) return yield* Effect.die(report.error)
    rows += totalOf(report.rows)
    ;({ drained } = report)
  }
  console.log(`${what}: ${rows} in ${(yield* Clock.currentTimeMillis) - began} ms`)
})

/** Every transaction of the database is counted: the server is expected to have nothing else to do. */
const idle = Effect.fnUntraced(function* (url: string) {
  const sql = yield* PgClient.PgClient
  const count = Effect.map(
    sql<{ readonly n: number }>`SELECT xact_commit::int AS n FROM pg_stat_database WHERE datname = current_database()`,
    ([row]) => row!.n
  )
  yield* start(url)
  yield* termAfter((yield* (yield* Store).leader).term)
  yield* Effect.sleep("10 seconds") // the start is over, and the server has counted it
  const before = yield* count
  yield* Effect.sleep("20 seconds")
  console.log(`an idle leader: ${((yield* count) - before) / 20} transactions a second`)
}, Effect.scoped)

const job = { kind: "scene", queue: "scene", priority: 5, payload: { text: "x".repeat(180) } }

const scenes = Effect.fnUntraced(function* (url: string) {
  const sql = yield* PgClient.PgClient
  const store = yield* Store
  yield* without(url, "kill -9", signal("SIGKILL"))
  yield* without(url, "SIGTERM", signal("SIGTERM"))
  yield* without(url, "SIGSTOP", signal("SIGSTOP"))
  yield* without(url, "pg_terminate_backend", () =>
    Effect.orDie(
      sql`SELECT pg_terminate_backend(pid) FROM pg_locks JOIN pg_stat_activity USING (pid)
      WHERE locktype = 'advisory' AND granted AND application_name LIKE 'lanekeeper % leader'`
    )
  )

  yield* idle(url)

  for (let n = 0; n < 10; n++) {
    yield* store.enqueue(Array.from({ length: 10_000 }, () => ({ ...job, runIn: Duration.hours(1) })))
  }
  yield* sql.unsafe(`UPDATE ${schema}.timed SET run_at = clock_timestamp()`)
  yield* drain(promote, "promote, due jobs")

  const worker = yield* store.register("scene")
  for (const size of [100, 1]) {
    let claimed = 0
    while (claimed < 10_000) {
      const claim = yield* store.claim({ worker, kinds: ["scene"], queues: [{ queue: "scene", limit: size }] })
      claimed += claim.jobs.length
    }
  }
  const [row] = (yield* store.workers).filter(({ id }) => id === worker)
  yield* store.declareDead(worker, row!.beats)
  const [leases] = yield* sql.unsafe<{ readonly n: number }>(`SELECT count(*)::int AS n FROM ${schema}.lease`)
  yield* drain(rescueStale, `rescue-stale, ${leases!.n} leases`)
})

const program = Effect.gen(function* () {
  const url = Redacted.value((yield* DevelopmentDatabase.make({})).url)
  const client = PgClient.layer({ url: Redacted.make(url), maxConnections: 4 })
  const ground = layerPostgres({ schema }).pipe(Layer.merge(Wakeup.layerLocal), Layer.provideMerge(client))
  yield* Migrations.migrate({ schema }).pipe(Effect.provide(client))
  yield* scenes(url).pipe(Effect.provide(ground))
  yield* Effect.provide(
    Effect.flatMap(PgClient.PgClient, (sql) => sql.unsafe(`DROP SCHEMA ${schema} CASCADE`)),
    client
  )
}).pipe(Effect.scoped, Effect.provideService(References.MinimumLogLevel, "Warn"))

await Effect.runPromise(program)
process.exit(0)
