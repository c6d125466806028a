/** The storage lane: what is drained is emptied, what lingers is moved on, and what cannot be emptied is named. */
import { PgClient } from "@effect/sql-pg/PgClient"
import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as TestClock from "effect/testing/TestClock"
import { type JobId, slotOf } from "../../src/domain/Job.ts"
import { runOnce } from "../../src/lanes/Lane.ts"
import { slots } from "../../src/lanes/slots.ts"
import { layerPostgres } from "../../src/store/postgres/index.ts"
import { Store, type Term, UnderTerm } from "../../src/store/Store.ts"
import { Wakeup } from "../../src/Wakeup.ts"
import { completed, hours, job, makeWorld, retried } from "../store/suiteWorld.ts"
import { quietly } from "../support/quietly.ts"
import { TestDatabase } from "../support/TestDatabase.ts"
import { ground } from "./world.ts"

const layer = Layer.merge(layerPostgres(), Wakeup.layerLocal).pipe(Layer.provideMerge(TestDatabase.layer))

/** How long a slot is current. What is written in the first of these is in the slot before last in the next. */
const turns = { first: "10000 days", later: "5000 days", justBefore: "15000 days" }

const makeSlotsWorld = Effect.gen(function* () {
  const sql = yield* PgClient
  const store = yield* Store
  const world = makeWorld(store, () => Effect.die("no time passes here"))
  const turn = (which: keyof typeof turns) => sql`UPDATE lanekeeper.ring SET period = ${turns[which]}::interval`
  yield* turn("first")
  return {
    ...world,
    sql,
    turn,
    database: yield* TestDatabase,
    age: sql`UPDATE lanekeeper.attempt_end SET ended_at = ended_at - interval '2 days'`,
    /** One run, whenever the last look was. */
    run: Effect.andThen(sql`UPDATE lanekeeper.look SET again_at = looked_at`, runOnce(slots)),
    finishAll: Effect.gen(function* () {
      const worker = yield* world.register
      while (true) {
        const { jobs } = yield* world.claim(worker, 1_000)
        if (jobs.length === 0) return
        for (const claimed of jobs) yield* world.finish(worker, claimed, completed)
      }
    }),
    whyNot: (id: JobId) =>
      Effect.map(store.storage, (states) => {
        const state = states.find(({ number, piece }) => piece === "slot" && number === slotOf(id))
        return Option.getOrThrow(Option.flatMap(state!.looked, ({ why }) => why))
      }),
    bodies: Effect.map(
      sql<{ slot: number; n: number }>`SELECT slot, count(*)::int AS n FROM lanekeeper.job GROUP BY slot ORDER BY slot`,
      (rows) => rows.map(({ n, slot }) => [slot, n])
    )
  }
})

type SlotsWorld = Effect.Success<typeof makeSlotsWorld>

const test = (
  sentence: string,
  body: (world: SlotsWorld) => Effect.Effect<void, unknown, Store | Wakeup | Scope.Scope>
) => it.live(sentence, () => makeSlotsWorld.pipe(Effect.flatMap(body), quietly, Effect.scoped, Effect.provide(layer)))

describe("The lane slots in PostgreSQL", () => {
  test("empties what is over and past retention, under a snapshot pinned throughout [LK-D1]", (world) =>
    Effect.gen(function* () {
      const pinned = yield* (yield* world.database.connect).pin
      yield* pinned.query("BEGIN ISOLATION LEVEL REPEATABLE READ")
      yield* pinned.query("SELECT count(*) FROM pg_class")
      yield* world.enqueue({}, {}, {})
      yield* world.finishAll
      yield* world.age
      assert.deepInclude(yield* world.run, { rows: {}, error: null }) // it is written to now
      yield* world.turn("later")
      assert.deepInclude(yield* world.run, { rows: { emptied: 1 }, drained: true, error: null })
      assert.deepStrictEqual(yield* world.bodies, [])
      assert.deepInclude(yield* world.run, { rows: {} })
    }))

  test("is not stopped by a paused queue or a long job, and names what it waits for [LK-D2]", (world) =>
    Effect.gen(function* () {
      const { claim, enqueue, finish, finishAll, isAt, register, run, store, turn } = world
      const long = yield* world.running()
      yield* enqueue(...Array.from({ length: 400 }, () => ({})))
      yield* finishAll
      yield* store.pause("bulk")
      const paused = yield* enqueue(...Array.from({ length: 300 }, () => ({ queue: "bulk" })))
      yield* world.age
      yield* turn("later")

      const next = yield* enqueue({}, {})
      yield* finishAll
      yield* world.age
      const first = yield* run
      assert.deepInclude(first, { rows: { evacuated: 300 }, error: null })
      assert.match(yield* world.whyNot(long.id), /^1 job not over; 1 running, the oldest \(3-1\) for .* on runner$/)
      assert.deepStrictEqual((yield* world.bodies).slice(0, 2), [
        [-slotOf(long.id), 300],
        [slotOf(long.id), 701]
      ])
      yield* turn("justBefore") // the slot of the long one comes next, and others are emptied all the same
      assert.deepInclude(yield* run, { rows: { emptied: 1 } })
      assert.deepStrictEqual(yield* store.place(next[0]!), Option.none())

      yield* isAt("ready", ...paused.slice(0, 3))
      assert.strictEqual(yield* long.end(completed), "accepted")
      yield* world.age
      assert.deepInclude(yield* run, { rows: { emptied: 1 } })
      yield* store.unpause("bulk")
      const worker = yield* register
      const { jobs } = yield* claim(worker, 500, "bulk")
      assert.deepStrictEqual(
        jobs.map(({ id }) => id),
        paused
      )
      assert.strictEqual(yield* finish(worker, jobs[0]!, completed), "accepted")
    }))

  test("leaves a slot that much lives in until its turn comes again, and says what that is [LK-D2]", (world) =>
    Effect.gen(function* () {
      const { enqueue, finishAll, sql, store, turn } = world
      yield* store.pause("bulk")
      const ids = yield* enqueue(...Array.from({ length: 60 }, () => ({})))
      yield* finishAll
      yield* enqueue(...Array.from({ length: 40 }, () => ({ queue: "bulk" })))
      yield* world.age
      yield* turn("later")
      const small = Effect.andThen(
        sql`UPDATE lanekeeper.look SET again_at = looked_at`,
        runOnce({ ...slots, batch: 15 })
      )
      assert.deepInclude(yield* small, { rows: {} })
      assert.strictEqual(yield* world.whyNot(ids[0]!), "40 jobs not over; 40 in the paused queue bulk")
      yield* turn("justBefore")
      assert.deepInclude(yield* small, { rows: { evacuated: 40, emptied: 1 }, drained: true })
      assert.lengthOf(yield* store.page({ place: "ready", limit: 100 }), 40)
    }))

  test("names who reads a slot that is over, and claims and outcomes go on meanwhile [LK-D1]", (world) =>
    Effect.gen(function* () {
      const [id] = yield* world.enqueue({})
      yield* world.finishAll
      yield* world.age
      yield* world.turn("later")
      const reader = yield* (yield* world.database.connect).pin
      yield* reader.query("SET application_name = 'pg_dump'")
      const { rows } = yield* reader.query("SELECT pg_backend_pid() AS pid")
      yield* reader.query("BEGIN")
      yield* reader.query("SELECT count(*) FROM lanekeeper.job")
      assert.deepInclude(yield* world.run, { rows: {}, error: null })
      assert.strictEqual(yield* world.whyNot(id!), `read by pg_dump (pid ${String(rows[0]!["pid"])})`)
      yield* world.enqueue({})
      yield* world.finishAll
      yield* reader.query("COMMIT")
      assert.deepInclude(yield* world.run, { rows: { emptied: 1 } })
    }))

  test("reclaims everything at its return, after jobs came and went for as long as nobody maintained [LK-E8]", (world) =>
    Effect.gen(function* () {
      for (const which of ["first", "later", "justBefore"] as const) {
        yield* world.turn(which)
        yield* world.enqueue(...Array.from({ length: 50 }, () => ({})))
        yield* world.finishAll
      }
      yield* world.age
      yield* world.sql`UPDATE lanekeeper.ring SET period = '2500 days'`
      assert.deepInclude(yield* world.run, { rows: { emptied: 3 } })
      assert.deepStrictEqual(yield* world.bodies, [])
    }))

  test("looks at a young slot again when it is ripe, and not a minute later [LK-D1]", (world) =>
    Effect.gen(function* () {
      const [id] = yield* world.enqueue({})
      yield* world.finishAll
      // A period by which its slot is the one before the current, that goes on for five seconds at least.
      yield* world.sql`
        UPDATE lanekeeper.ring SET (period, retention) = (
          SELECT p * interval '1 second', p * interval '1 second'
          FROM generate_series(10, 40, 0.01) AS p CROSS JOIN (SELECT extract(epoch FROM clock_timestamp()) AS now) clock
          WHERE floor(now / p)::bigint % slots = ${slotOf(id!)} % slots AND now % p < p - 5 LIMIT 1
        )`
      assert.deepInclude(yield* world.run, { rows: {}, error: null })
      const looks = yield* world.sql<{ readonly rests: number }>`
        SELECT extract(epoch FROM again_at - looked_at)::float8 AS rests FROM lanekeeper.look WHERE piece = 'slot' AND rows > 0`
      assert.strictEqual(looks.length, 1)
      assert.isAtMost(looks[0]!.rests, 40)
    }))

  test("clears the attic of what is over there [LK-D1]", (world) =>
    Effect.gen(function* () {
      yield* world.sql`UPDATE lanekeeper.ring SET period = DEFAULT`
      const ids = yield* world.enqueue(...Array.from({ length: 7 }, () => ({ runIn: hours(24 * 60) })))
      for (const id of ids.slice(1)) yield* world.store.cancel(id, "not wanted")
      assert.deepInclude(yield* world.run, { rows: {} })
      yield* world.age
      yield* world.sql`UPDATE lanekeeper.look SET again_at = looked_at`
      assert.deepInclude(yield* runOnce({ ...slots, batch: 4 }), { rows: { cleared: 6 }, batches: 2 })
      yield* world.isAt("scheduled", ids[0]!)
    }))

  test("empties a shelf, moves on the few tickets that linger in it, and keeps their turn [LK-D1]", (world) =>
    Effect.gen(function* () {
      const { sql } = world
      yield* sql`UPDATE lanekeeper.ring SET shelf_period = '10000 days'`
      yield* world.store.pause("bulk")
      const [first, second] = [yield* world.enqueue({ queue: "bulk" }), yield* world.enqueue({ queue: "bulk" })]
      yield* sql`SELECT lanekeeper.enqueue('mail', queue => 'post') FROM generate_series(1, 3000)`
      yield* sql`DELETE FROM lanekeeper.ticket WHERE queue = 'post'`
      assert.deepInclude(yield* world.run, { rows: {} })
      yield* sql`UPDATE lanekeeper.ring SET shelf_period = '6000 days'`
      assert.deepInclude(yield* world.run, { rows: { evacuated: 2, emptied: 1 }, error: null })
      yield* world.store.unpause("bulk")
      assert.deepStrictEqual(yield* world.claimedIds(yield* world.register, 10, "bulk"), [...first, ...second])
      yield* sql`UPDATE lanekeeper.ring SET shelf_period = '10000 days'`
      assert.deepInclude(yield* world.run, { rows: {} }) // too little in it to be worth a lock
    }))

  test("does nothing for a term that is over, and no harm when it is run 8 times at once [LK-B4]", (world) =>
    Effect.gen(function* () {
      const { enqueue, finishAll, isAt, running } = world
      const retry = yield* running()
      const [later] = yield* enqueue({ runIn: hours(1) }, {})
      yield* finishAll
      yield* retry.end(retried(hours(1)))
      yield* world.age
      yield* world.turn("later")
      const stale = Effect.provideService(world.run, UnderTerm, Option.some(-1n as Term))
      assert.deepInclude(yield* stale, { rows: {}, error: null })
      const reports = yield* Effect.forEach(Array.from({ length: 8 }), () => world.run, { concurrency: 8 })
      assert.isTrue(reports.every(({ error }) => error === null))
      yield* world.run
      yield* isAt("scheduled", later!, retry.id)
      assert.deepStrictEqual(yield* world.bodies, [[-slotOf(retry.id), 2]])
    }))

  test("keeps nothing of what is to leave no history, and the fence holds [LK-D3]", (world) =>
    Effect.gen(function* () {
      const { claim, enqueue, finish, register, run, store } = world
      const [id] = yield* enqueue({ details: { keep: false } })
      const worker = yield* register
      const [claimed] = (yield* claim(worker)).jobs
      yield* world.turn("later")
      assert.deepInclude(yield* run, { rows: {} })
      assert.strictEqual(yield* finish(worker, claimed!, completed), "accepted")
      assert.deepInclude(yield* run, { rows: { emptied: 1 } })
      assert.deepStrictEqual(yield* store.place(id!), Option.none())
      assert.strictEqual(yield* finish(worker, claimed!, completed), "refused")
    }))
})

describe("The lane slots in memory", () => {
  it.effect("lets go of what is over and past retention, and of what leaves no history at once [LK-D3]", () =>
    Effect.gen(function* () {
      const services = yield* Effect.context<Store>()
      const store = Context.get(services, Store)
      const world = makeWorld(store, TestClock.adjust)
      const [one, other, brief] = yield* store.enqueue([job(), job(), job({ details: { keep: false } })])
      yield* store.cancel(one!, "not wanted")
      yield* store.cancel(brief!, "not wanted")
      assert.deepInclude(yield* runOnce(slots), { rows: { cleared: 1 } })
      yield* TestClock.adjust("23 hours")
      assert.deepInclude(yield* runOnce(slots), { rows: {} })
      yield* TestClock.adjust("61 minutes")
      assert.deepInclude(yield* runOnce(slots), { rows: { cleared: 1 } })
      yield* world.isAt("ready", other!)
    }).pipe(Effect.provide(ground))
  )
})
