import { assert, describe, it, layer } from "@effect/vitest"
import { PgClient } from "@effect/sql-pg/PgClient"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Queue from "effect/Queue"
import * as TestClock from "effect/testing/TestClock"
import { LeaderElection } from "../src/LeaderElection.ts"
import { layerMemory } from "../src/store/memory/index.ts"
import * as Migrations from "../src/store/postgres/Migrations.ts"
import { defaultName, leaderChannel, SchemaName } from "../src/store/postgres/SchemaName.ts"
import { Store, UnderTerm } from "../src/store/Store.ts"
import { build, suite } from "./leadership/suite.ts"
import { layerSuite } from "./store/suitePostgres.ts"
import { eventually } from "./support/eventually.ts"
import { eventuallyByClock } from "./support/eventuallyByClock.ts"
import { quietly } from "./support/quietly.ts"
import { TestDatabase } from "./support/TestDatabase.ts"

const lease = Duration.seconds(5)

/** Somebody begins a term of their own, as after a lease that ran out, and leaves it at once. */
const overtake = Effect.gen(function* () {
  const store = yield* Store
  const { term } = yield* store.leader
  yield* store.resign(term)
  const taken = yield* store.takeLead({ holder: "stranger", lease: Duration.millis(1) })
  if (Option.isSome(taken)) yield* store.resign(taken.value)
})

describe("by lease, in memory", () => {
  suite({
    test: (sentence, body) => it.effect(sentence, () => quietly(body()).pipe(Effect.provide(Layer.fresh(layerMemory)))),
    candidate: (holder) => build(LeaderElection.layerLease({ timeToLive: lease, holder })),
    depose: overtake,
    eventually: eventuallyByClock
  })
})

layer(layerSuite, { excludeTestServices: true })("by lease, in PostgreSQL", (it) => {
  suite({
    test: (sentence, body) => it.effect(sentence, () => quietly(body())),
    candidate: (holder) => build(LeaderElection.layerLease({ timeToLive: lease, holder })),
    depose: overtake,
    eventually
  })
})

const terminate = Effect.gen(function* () {
  const sql = yield* PgClient
  yield* sql`
    SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`
})

layer(layerSuite, { excludeTestServices: true })("by advisory lock, in PostgreSQL", (it) => {
  suite<PgClient>({
    test: (sentence, body) => it.effect(sentence, () => quietly(body())),
    candidate: (holder) => build(LeaderElection.layerAdvisoryLock({ holder })),
    depose: terminate,
    eventually
  })

  it.effect("elects for each schema by itself [LK-B12]", () =>
    Effect.gen(function* () {
      const schema = SchemaName.make("another")
      yield* Migrations.migrate({ schema })
      const one = yield* build(LeaderElection.layerAdvisoryLock())
      const other = yield* build(LeaderElection.layerAdvisoryLock({ schema }))
      const fibers = [one, other].map((election) => Effect.forkScoped(election.lead(Effect.never)))
      yield* Effect.all(fibers)
      yield* eventually(Effect.all([one.term, other.term]), (terms) => terms.every(Option.isSome))
    }).pipe(quietly)
  )

  it.effect("keeps the lock on a connection of its own [LK-B2]", () =>
    Effect.gen(function* () {
      const sql = yield* PgClient
      const election = yield* build(LeaderElection.layerAdvisoryLock())
      yield* Effect.forkScoped(election.lead(Effect.never))
      yield* eventually(election.term, Option.isSome)
      const held = yield* sql<{ readonly name: string }>`
        SELECT application_name AS name FROM pg_locks JOIN pg_stat_activity USING (pid)
        WHERE locktype = 'advisory' AND granted AND datname = current_database()`
      assert.deepStrictEqual(held, [{ name: "lanekeeper leader" }])
    }).pipe(quietly)
  )

  it.effect("tells followers that it has let go, so that they need not wait for their next try [LK-B2]", () =>
    Effect.gen(function* () {
      const sql = yield* PgClient
      const election = yield* build(LeaderElection.layerAdvisoryLock())
      const told = yield* sql.listen(leaderChannel(defaultName))
      const fiber = yield* Effect.forkScoped(election.lead(Effect.never))
      yield* eventually(election.term, Option.isSome)
      assert.strictEqual(yield* Queue.size(told), 0)
      yield* Fiber.interrupt(fiber)
      yield* Queue.take(told)
    }).pipe(quietly)
  )

  it.effect("makes the next term wait for a statement that names the last one [LK-B4]", () =>
    Effect.gen(function* () {
      const sql = yield* PgClient
      const store = yield* Store
      const election = yield* build(LeaderElection.layerAdvisoryLock({ holder: "first" }))
      yield* Effect.forkScoped(election.lead(Effect.never))
      yield* eventually(election.term, Option.isSome)
      const term = yield* election.term
      yield* store.enqueue([{ kind: "mail", queue: "post", priority: 5, payload: null, runIn: Duration.hours(1) }])
      yield* sql`UPDATE lanekeeper.timed SET run_at = clock_timestamp()`
      const other = yield* (yield* TestDatabase).connect
      const waiting = other.query(
        "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
      )
      yield* sql.withTransaction(
        Effect.gen(function* () {
          const moved = yield* Effect.provideService(store.promote({ limit: 10 }), UnderTerm, term)
          assert.strictEqual(moved.ready, 1)
          yield* terminate
          const next = yield* build(LeaderElection.layerAdvisoryLock({ holder: "next" }))
          yield* Effect.forkScoped(next.lead(Effect.never))
          yield* eventually(waiting, ({ rowCount }) => rowCount > 0)
          assert.deepStrictEqual((yield* store.leader).term, Option.getOrThrow(term))
        })
      )
      yield* eventually(store.leader, (leader) => leader.term > Option.getOrThrow(term))
    }).pipe(quietly)
  )
})

layer(layerSuite, { excludeTestServices: true })("by lock and by lease in one schema", (it) => {
  it.effect("leaves nobody the lead by lease while somebody has it by lock, and no longer [LK-A4, LK-B2]", () =>
    Effect.gen(function* () {
      const store = yield* Store
      const take = store.takeLead({ holder: "by lease", lease: Duration.hours(1) })
      const election = yield* build(LeaderElection.layerAdvisoryLock({ holder: "by lock" }))
      const fiber = yield* Effect.forkScoped(election.lead(Effect.never))
      yield* eventually(election.term, Option.isSome)
      const term = Option.getOrThrow(yield* election.term)
      assert.deepStrictEqual(yield* take, Option.none())
      assert.deepInclude(yield* store.leader, { term, holder: Option.some("by lock") })
      // Killed, not stopped: its row still names it, and the lock is free.
      yield* Fiber.interrupt(fiber)
      const sql = yield* PgClient
      yield* sql`UPDATE lanekeeper.leader SET holder = 'by lock'`
      const next = Option.getOrThrow(yield* take)
      assert.isTrue(next > term)
      yield* store.resign(next)
    }).pipe(quietly)
  )

  it.effect("leaves nobody the lead by lock while somebody has it by lease, and no longer [LK-A4, LK-B2]", () =>
    Effect.gen(function* () {
      const store = yield* Store
      const term = Option.getOrThrow(yield* store.takeLead({ holder: "by lease", lease: Duration.hours(1) }))
      const election = yield* build(LeaderElection.layerAdvisoryLock({ holder: "by lock" }))
      yield* Effect.forkScoped(election.lead(Effect.never))
      const sql = yield* PgClient
      const asked = sql`
        SELECT FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'lanekeeper leader'
        AND state = 'idle' AND query LIKE '%term + 1%'`
      yield* eventually(asked, (rows) => rows.length > 0)
      assert.deepInclude(yield* store.leader, { term, holder: Option.some("by lease") })
      assert.deepStrictEqual(yield* election.term, Option.none())
      assert.isTrue(yield* store.keepLead(term, Duration.hours(1)))
      yield* store.resign(term)
      yield* eventually(election.term, Option.isSome)
      assert.isFalse(yield* store.keepLead(term, Duration.hours(1)))
    }).pipe(quietly)
  )
})

describe("LeaderElection without asking", () => {
  it.effect("leads at once and under no term with layerAlways, and never with layerNever [LK-B2]", () =>
    Effect.gen(function* () {
      const always = yield* build(LeaderElection.layerAlways)
      assert.deepStrictEqual(
        yield* always.lead(Effect.asVoid(Effect.map(UnderTerm, (term) => assert.isTrue(Option.isNone(term))))),
        undefined
      )
      const never = yield* build(LeaderElection.layerNever)
      const fiber = yield* Effect.forkScoped(never.lead(Effect.die("led")))
      yield* TestClock.adjust("1 hour")
      assert.isUndefined(fiber.pollUnsafe())
    })
  )
})
