/** Slots are emptied whole, and what still lives in them is copied first. */
import { PgClient } from "@effect/sql-pg/PgClient"
import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import { type JobId, slotOf } from "../../../src/domain/Job.ts"
import { layerPostgres } from "../../../src/store/postgres/index.ts"
import { Slots } from "../../../src/store/postgres/Slots.ts"
import { Store, UnderTerm } from "../../../src/store/Store.ts"
import { eventually } from "../../support/eventually.ts"
import { TestDatabase } from "../../support/TestDatabase.ts"
import { completed, died, hours, makeWorld, released, retried } from "../suiteWorld.ts"

const stores = Layer.merge(layerPostgres(), Slots.layer()).pipe(Layer.provideMerge(TestDatabase.layer))

const world = Effect.gen(function* () {
  const sql = yield* PgClient
  const slots = yield* Slots
  yield* sql`UPDATE lanekeeper.ring SET period = '10000 days'` // no test meets the end of a slot by accident
  const made = makeWorld(yield* Store, () => Effect.die("no time passes here"))
  return {
    ...made,
    sql,
    slots,
    database: yield* TestDatabase,
    pastRetention: sql`UPDATE lanekeeper.attempt_end SET ended_at = ended_at - interval '2 days'`,
    bodies: (slot: number) =>
      Effect.map(sql<{ id: bigint }>`SELECT id FROM lanekeeper.job WHERE slot = ${slot} ORDER BY id`, (rows) =>
        rows.map(({ id }) => id)
      ),
    homeOf: (id: JobId | undefined) => slotOf(id!)
  }
})

type SlotsWorld = Effect.Success<typeof world>

const test = (sentence: string, body: (world: SlotsWorld) => Effect.Effect<void, unknown, Store | Scope.Scope>) =>
  it.live(sentence, () => world.pipe(Effect.flatMap(body), Effect.scoped, Effect.provide(stores)))

describe("Slots", () => {
  test("empties a slot when all in it is over and past retention, whatever snapshot is pinned [LK-D1]", (world) =>
    Effect.gen(function* () {
      const { bodies, database, enqueue, finish, pastRetention, register, slots, store } = world
      const ids = yield* enqueue({}, {})
      const slot = world.homeOf(ids[0])
      const worker = yield* register
      const pinned = yield* (yield* database.connect).pin
      yield* pinned.query("BEGIN ISOLATION LEVEL REPEATABLE READ")
      yield* pinned.query("SELECT count(*) FROM pg_class")
      assert.strictEqual(yield* slots.emptySlot(slot), "used")
      for (const claimed of (yield* world.claim(worker)).jobs) yield* finish(worker, claimed, completed)
      assert.strictEqual(yield* slots.emptySlot(slot), "used")
      yield* pastRetention
      assert.strictEqual(yield* slots.emptySlot(slot), "emptied")
      assert.deepStrictEqual(yield* bodies(slot), [])
      assert.strictEqual(yield* slots.emptySlot(slot), "empty")
      assert.deepStrictEqual(yield* store.place(ids[0]!), Option.none())
    }))

  test("leaves a slot alone for one job that lives in it, in any place [LK-D1]", (world) =>
    Effect.gen(function* () {
      const { enqueue, isAt, pastRetention, running, slots, store, waiting } = world
      const { end, id: first } = yield* running()
      const slot = world.homeOf(first)
      const stays = Effect.andThen(pastRetention, slots.emptySlot(slot))
      assert.strictEqual(yield* stays, "used")
      yield* end(retried(hours(1)))
      assert.strictEqual(yield* stays, "used")
      yield* store.cancel(first, "enough")
      const waits = yield* waiting("token")
      assert.strictEqual(yield* stays, "used")
      yield* store.resume("token", { _tag: "Completed" })
      const [ready] = yield* enqueue({})
      assert.strictEqual(yield* stays, "used")
      yield* store.cancel(ready!, "enough")
      yield* isAt("completed", waits)
      assert.strictEqual(yield* stays, "emptied")
    }))

  test("copies what lives on to the attic, under the same id, with its history and its turn [LK-D2]", (world) =>
    Effect.gen(function* () {
      const { bodies, claimedIds, enqueue, isAt, pastRetention, register, running, slots, store, told, waiting } = world
      const waits = yield* waiting("token")
      const again = yield* running()
      const slot = world.homeOf(again.id)
      yield* again.end(released)
      const [over, later, ...fresh] = yield* enqueue({ queue: "other" }, { runIn: hours(1) }, {}, {}, {})
      yield* store.cancel(over!, "not wanted")
      yield* store.cancel(fresh[1]!, "not wanted")
      const views = yield* Effect.forEach([again.id, waits, later!, fresh[0]!], (id) => world.show(id))

      assert.strictEqual(yield* slots.evacuate(slot, { limit: 100 }), 5)
      assert.strictEqual(yield* slots.evacuate(slot, { limit: 100 }), 0)
      assert.lengthOf(yield* bodies(-slot), 5)
      assert.deepStrictEqual(yield* Effect.forEach([again.id, waits, later!, fresh[0]!], (id) => world.show(id)), views)
      yield* pastRetention
      assert.strictEqual(yield* slots.emptySlot(slot), "emptied")

      yield* isAt("waiting", waits)
      yield* isAt("scheduled", later!)
      yield* isAt("ready", again.id, fresh[0]!, fresh[2]!)
      assert.deepStrictEqual(yield* told(again.id), ["1 released"])
      assert.isTrue((yield* store.cancel(fresh[2]!, "late")).moved)
      assert.isTrue((yield* store.runNow(later!)).moved)
      assert.deepStrictEqual(yield* claimedIds(yield* register), [again.id, later, fresh[0]])
    }))

  test("runs a copied job to its end, in the attic as in its slot", (world) =>
    Effect.gen(function* () {
      const { claim, enqueue, finish, isAt, pastRetention, register, slots, store, told } = world
      const [one, two] = yield* enqueue({}, {})
      const slot = world.homeOf(one)
      yield* slots.evacuate(slot, { limit: 100 })
      assert.strictEqual(yield* slots.emptySlot(slot), "emptied")
      const worker = yield* register
      const [first, second] = (yield* claim(worker)).jobs
      assert.deepStrictEqual([first!.id, second!.id], [one, two])
      assert.strictEqual(yield* finish(worker, first!, completed), "accepted")
      assert.strictEqual(yield* finish(worker, first!, completed), "repeated")
      assert.strictEqual(yield* finish(worker, second!, died), "accepted")
      yield* isAt("completed", one!)
      yield* isAt("dead", two!)
      assert.deepStrictEqual(yield* told(two!), ["1 died: no such address"])
      assert.strictEqual(yield* slots.clearAttic({ limit: 100 }), 1)
      yield* pastRetention
      assert.strictEqual(yield* slots.clearAttic({ limit: 100 }), 1)
      assert.deepStrictEqual(yield* store.place(one!), Option.none())
      yield* isAt("dead", two!)
    }))

  test("waits for a lease: what runs is not copied [LK-D2]", (world) =>
    Effect.gen(function* () {
      const { id, worker, claimed } = yield* world.running()
      const slot = world.homeOf(id)
      assert.strictEqual(yield* world.slots.evacuate(slot, { limit: 100 }), 0)
      assert.strictEqual(yield* world.slots.emptySlot(slot), "used")
      assert.strictEqual(yield* world.finish(worker, claimed, released), "accepted")
      assert.strictEqual(yield* world.slots.evacuate(slot, { limit: 100 }), 1)
      assert.deepStrictEqual(yield* world.claimedIds(worker), [id])
    }))

  test("keeps the dead whole when their slot is emptied, and redrives them as often as asked", (world) =>
    Effect.gen(function* () {
      const { claim, dead, finish, isAt, pastRetention, register, slots, store, told } = world
      const id = yield* dead({ payload: { to: "somebody" } })
      const slot = world.homeOf(id)
      assert.strictEqual(yield* slots.emptySlot(slot), "emptied")
      const worker = yield* register
      for (const round of [2, 3]) {
        assert.isTrue((yield* store.redrive(id)).moved)
        const [claimed] = (yield* claim(worker)).jobs
        assert.deepInclude(claimed!, { id, attempt: round, failures: 0, payload: { to: "somebody" } })
        yield* finish(worker, claimed!, died)
      }
      yield* pastRetention
      yield* slots.clearAttic({ limit: 100 })
      yield* isAt("dead", id)
      assert.deepStrictEqual(
        yield* told(id),
        [1, 2, 3].map((attempt) => `${attempt} died: no such address`)
      )
      assert.isTrue(yield* store.purge(id))
      assert.deepStrictEqual(yield* store.place(id), Option.none())
    }))

  test("is answered busy while somebody reads the slot, and claims and outcomes go on meanwhile [LK-D1]", (world) =>
    Effect.gen(function* () {
      const { claim, database, enqueue, finish, pastRetention, register, slots } = world
      const [id] = yield* enqueue({})
      const slot = world.homeOf(id)
      const reader = yield* (yield* database.connect).pin
      yield* reader.query("BEGIN")
      for (const table of [`job_${slot}`, `attempt_end_${slot}`, "ticket"]) {
        yield* reader.query(`SELECT count(*) FROM lanekeeper.${table}`)
      }
      const worker = yield* register
      const [claimed] = (yield* claim(worker)).jobs
      assert.strictEqual(yield* finish(worker, claimed!, completed), "accepted")
      yield* pastRetention
      assert.strictEqual(yield* slots.emptySlot(slot), "busy")
      const shelves = Effect.forEach([0, 1], (shelf) => slots.emptyShelf(shelf))
      assert.sameMembers(yield* shelves, ["busy", "empty"])
      yield* reader.query("COMMIT")
      assert.strictEqual(yield* slots.emptySlot(slot), "emptied")
      assert.sameMembers(yield* shelves, ["emptied", "empty"])
    }))

  test("is read while it is looked at before it is emptied: no beat waits for the look [LK-D1] [LK-C3]", (world) =>
    Effect.gen(function* () {
      const { claim, database, enqueue, finish, pastRetention, register, slots, sql, store } = world
      const [id] = yield* enqueue({})
      const slot = world.homeOf(id)
      const worker = yield* register
      const [claimed] = (yield* claim(worker)).jobs
      yield* finish(worker, claimed!, completed)
      yield* pastRetention
      const term = Option.getOrThrow(yield* store.takeLead({ holder: "here", lease: hours(1) }))
      const other = yield* (yield* database.connect).pin
      yield* other.query("BEGIN")
      yield* other.query("SELECT FROM lanekeeper.leader FOR UPDATE") // what is emptied waits here, under its lock
      const emptying = yield* slots
        .emptySlot(slot)
        .pipe(Effect.provideService(UnderTerm, Option.some(term)), Effect.forkScoped)
      yield* eventually(
        sql`SELECT FROM pg_locks WHERE relation = ${`lanekeeper.job_${slot}`}::regclass AND mode LIKE '%ExclusiveLock' AND granted`,
        (held) => held.length > 0
      )
      assert.isTrue((yield* store.beat(worker)).alive)
      assert.deepStrictEqual(yield* store.place(id!), Option.some("completed"))
      yield* other.query("COMMIT")
      assert.strictEqual(yield* Fiber.join(emptying), "emptied")
    }))

  test("empties a shelf that holds no ticket, and only then", (world) =>
    Effect.gen(function* () {
      const { claimedIds, enqueue, register, slots } = world
      yield* enqueue({}, {})
      const shelves = Effect.forEach([0, 1], (shelf) => slots.emptyShelf(shelf))
      assert.sameMembers(yield* shelves, ["used", "empty"])
      assert.lengthOf(yield* claimedIds(yield* register), 2)
      assert.sameMembers(yield* shelves, ["emptied", "empty"])
    }))

  test("writes a job that is due after the ring has come round to the attic at once", (world) =>
    Effect.gen(function* () {
      const { enqueue, slots, sql } = world
      yield* sql`UPDATE lanekeeper.ring SET period = DEFAULT`
      const [far, near] = yield* enqueue({ runIn: Duration.days(30) }, { runIn: Duration.minutes(5) })
      assert.strictEqual(world.homeOf(far), 0)
      const current = (yield* slots.states).filter(({ current }) => current).map(({ slot }) => slot)
      assert.include(current, world.homeOf(near))
      assert.isTrue((yield* world.store.runNow(far!)).moved)
      assert.deepStrictEqual(yield* world.claimedIds(yield* world.register), [far])
    }))

  test("shares a slot with what is written after the ring has come round", (world) =>
    Effect.gen(function* () {
      const { enqueue, pastRetention, slots, store } = world
      const [old] = yield* enqueue({})
      const [young] = yield* enqueue({})
      yield* store.cancel(old!, "not wanted")
      yield* pastRetention
      assert.strictEqual(yield* slots.emptySlot(world.homeOf(old)), "used")
      yield* world.isAt("ready", young!)
      yield* world.isAt("cancelled", old!)
    }))

  test("shows each job once in the view, wherever its body lies", (world) =>
    Effect.gen(function* () {
      const { dead, enqueue, running, slots, sql, store, waiting } = world
      const runs = yield* running()
      const waits = yield* waiting("token")
      const died = yield* dead({})
      const revived = yield* dead({})
      yield* store.redrive(revived)
      const [later, ready, gone] = yield* enqueue({ runIn: hours(1) }, {}, {})
      yield* store.cancel(gone!, "not wanted")
      yield* slots.evacuate(world.homeOf(later), { limit: 100 })
      const rows = yield* sql<{ id: string; place: string }>`SELECT id, place FROM lanekeeper.jobs ORDER BY number`
      const expected = [
        [runs.id, "running"],
        [waits, "waiting"],
        [died, "dead"],
        [revived, "ready"],
        [later, "scheduled"],
        [ready, "ready"],
        [gone, "cancelled"]
      ]
      assert.deepStrictEqual(
        rows.map(({ id, place }) => [id, place]),
        expected
      )
    }))
})
