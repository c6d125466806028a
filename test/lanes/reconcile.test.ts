/** Damage planted by hand is repaired once, or reported once, and live work is left alone. */
import { PgClient } from "@effect/sql-pg/PgClient"
import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import { type JobId, numberOf } from "../../src/domain/Job.ts"
import { type Report, runOnce } from "../../src/lanes/Lane.ts"
import { reconcile } from "../../src/lanes/reconcile.ts"
import { recover } from "../../src/lanes/recover.ts"
import { layerPostgres } from "../../src/store/postgres/index.ts"
import { Store, type Term, UnderTerm } from "../../src/store/Store.ts"
import { Wakeup } from "../../src/Wakeup.ts"
import { completed, hours, makeWorld, retried } from "../store/suiteWorld.ts"
import { quietly } from "../support/quietly.ts"
import { TestDatabase } from "../support/TestDatabase.ts"
import { Lines, wakes } from "./world.ts"

const layer = Layer.merge(layerPostgres(), Wakeup.layerLocal).pipe(Layer.provideMerge(TestDatabase.layer))

const makeDamaged = Effect.gen(function* () {
  const sql = yield* PgClient
  const world = makeWorld(yield* Store, () => Effect.die("no time passes here"))
  const other = Context.get(
    yield* Layer.build(
      Layer.fresh(layerPostgres()).pipe(
        Layer.provide(Layer.succeedContext(yield* (yield* TestDatabase).client({ maxConnections: 2 })))
      )
    ),
    Store
  )
  const here = yield* Store
  /** Until the walk has come to its end in both, each having waited for the other now and then. */
  const byTwo = Effect.gen(function* () {
    const run = (store: Store["Service"]) => Effect.provideService(runOnce(reconcile), Store, store)
    const reports = yield* Effect.forEach([here, other, here, other, here, other], run, { concurrency: 2 })
    return sum(reports)
  })
  return { ...world, sql, byTwo, other }
})

const sum = (reports: ReadonlyArray<Report>): Readonly<Record<string, number>> => {
  const all: Record<string, number> = {}
  for (const { error, rows } of reports) {
    assert.isNull(error)
    for (const [kind, count] of Object.entries(rows)) all[kind] = (all[kind] ?? 0) + count
  }
  return all
}

type Damaged = Effect.Success<typeof makeDamaged>

const test = (sentence: string, body: (world: Damaged) => Effect.Effect<void, unknown, Store | Wakeup | Scope.Scope>) =>
  it.live(sentence, () => makeDamaged.pipe(Effect.flatMap(body), Effect.scoped, Effect.provide(layer)))

const numbers = (...ids: ReadonlyArray<JobId | undefined>) => ids.map((id) => numberOf(id!)).join(", ")

describe("The lane reconcile", () => {
  test("makes ready what no pointer speaks of, once by two processes, and the job runs [LK-D7]", (world) =>
    Effect.gen(function* () {
      const { byTwo, claim, enqueue, finish, isAt, register, running, sql, told } = world
      const runs = yield* running()
      const retry = yield* running()
      yield* retry.end(retried(hours(1)))
      const waits = yield* world.waiting("token")
      const [later, fresh] = [yield* enqueue({ runIn: hours(1) }), yield* enqueue({})]
      yield* enqueue({ queue: "unharmed" }, { queue: "unharmed" })
      for (const table of ["timed", "wait", "lease"]) yield* sql.unsafe(`DELETE FROM lanekeeper.${table}`)
      yield* sql.unsafe(`DELETE FROM lanekeeper.ticket WHERE queue = 'post'`)
      const lost = [runs.id, retry.id, waits, later[0]!, fresh[0]!]

      assert.deepStrictEqual(yield* quietly(byTwo), { "body without a pointer": 5 })
      yield* isAt("ready", ...lost)
      assert.deepStrictEqual(yield* told(retry.id), ["1 failed", "2 repaired: nothing said where it stood"])
      assert.strictEqual(yield* runs.end(completed), "refused")
      assert.deepStrictEqual(yield* quietly(byTwo), {})

      const worker = yield* register
      const { jobs } = yield* claim(worker)
      assert.sameMembers(
        jobs.map(({ id }) => id),
        lost
      )
      const again = jobs.find(({ id }) => id === retry.id)!
      assert.deepInclude(again, { attempt: 3, failures: 1, crashes: 0 })
      for (const job of jobs) assert.strictEqual(yield* finish(worker, job, completed), "accepted")
    }))

  test("drops pointers that lead to no body, and keeps the jobs that share a ticket with one [LK-D7]", (world) =>
    Effect.gen(function* () {
      const { byTwo, claimedIds, enqueue, register, sql, store } = world
      const over = yield* world.dead()
      const waits = yield* world.waiting("token")
      const [one, two, three] = yield* enqueue({}, {}, {})
      const [gone] = yield* enqueue({ queue: "gone" })
      const [later] = yield* enqueue({ runIn: hours(1) })
      yield* sql.unsafe(`DELETE FROM lanekeeper.job WHERE id IN (${numbers(two, gone, later, waits)})`)
      yield* sql.unsafe(
        `INSERT INTO lanekeeper.timed (job, run_at, attempt, failures, crashes, slot, priority, queue, kind)
         SELECT job, now() + interval '1 hour', 1, 0, 0, slot, 5, 'post', 'mail' FROM lanekeeper.dead WHERE job = ${numbers(over)}`
      )
      assert.deepStrictEqual(yield* quietly(byTwo), {
        "ticket without a body": 2,
        "time without a body": 2,
        "wait without a body": 1
      })
      assert.deepStrictEqual(yield* quietly(byTwo), {})
      assert.deepStrictEqual(yield* claimedIds(yield* register), [one, three])
      assert.deepStrictEqual(yield* store.place(over), Option.some("dead"))
      assert.deepStrictEqual(yield* store.readyQueues, [])
    }))

  test("rescues what runs under a lease of nobody [LK-D7]", (world) =>
    Effect.gen(function* () {
      const { byTwo, isAt, running, sql } = world
      const left = yield* running()
      const stays = yield* running()
      yield* sql`DELETE FROM lanekeeper.worker WHERE id = ${left.worker}`
      assert.deepStrictEqual(yield* quietly(byTwo), { "lease of nobody": 1 })
      yield* isAt("ready", left.id)
      yield* isAt("running", stays.id)
    }))

  test("reports what it cannot repair, once, and shows it in a gauge for as long as it stands [LK-D7]", (world) =>
    Effect.gen(function* () {
      const { byTwo, enqueue, sql, store } = world
      const waits = yield* world.waiting("token")
      const [twice] = yield* enqueue({})
      yield* sql`UPDATE lanekeeper.wait SET expires_at = 'infinity'`
      yield* sql.unsafe(
        `INSERT INTO lanekeeper.timed (job, run_at, attempt, failures, crashes, slot, priority, queue, kind)
         SELECT id, now(), 0, 0, 0, slot, priority, queue, kind FROM lanekeeper.job WHERE id = ${numbers(twice)}`
      )
      const log = new Lines()
      assert.deepStrictEqual(yield* Effect.provide(byTwo, log.layer), {})
      assert.deepStrictEqual(log.lines, Array(2).fill("Warn: Found damage that nobody but you can repair"))
      const { damage } = Option.getOrThrow(yield* store.findings)
      assert.deepStrictEqual(damage, { "job with several pointers": 1, "wait that never expires": 1 })
      const gauge = Effect.map(Metric.snapshot, (all) =>
        all.flatMap(({ id, state }) =>
          id === "lanekeeper.damage" ? [(state as { readonly value: number }).value] : []
        )
      )
      assert.deepStrictEqual(yield* gauge, [1, 1])
      yield* sql`DELETE FROM lanekeeper.timed`
      yield* store.resume("token", { _tag: "Completed" })
      yield* world.isAt("completed", waits)
      yield* Effect.provide(byTwo, log.layer)
      assert.deepStrictEqual(yield* gauge, [0, 0])
      assert.lengthOf(log.lines, 2)
    }).pipe(Effect.provideService(Metric.MetricRegistry, new Map())))

  test("reports and repairs nothing while jobs move in every way beside it [LK-D7]", (world) =>
    Effect.gen(function* () {
      const { claim, enqueue, finish, other, register, store } = world
      const work = Effect.gen(function* () {
        const worker = yield* register
        for (let round = 0; round < 40; round++) {
          const ids = yield* enqueue({}, { runIn: hours(1) }, {}, { priority: 1 }, {})
          yield* store.runNow(ids[1]!)
          yield* store.reassign(ids[2]!, { priority: 3 })
          const { jobs } = yield* claim(worker, 4)
          yield* Effect.forEach(jobs, (job, n) => finish(worker, job, n % 2 === 0 ? completed : retried(hours(1))), {
            concurrency: 2
          })
          if (ids[4] !== undefined) yield* store.cancel(ids[4], "not wanted")
        }
      })
      const working = yield* Effect.forkScoped(Effect.all([work, work], { concurrency: 2, discard: true }))
      const log = new Lines()
      let walks = 0
      while (working.pollUnsafe() === undefined || walks < 3) {
        const report = yield* runOnce({ ...reconcile, batch: 7 }).pipe(
          Effect.provideService(Store, other),
          Effect.provide(log.layer)
        )
        assert.deepInclude(report, { rows: {}, error: null })
        walks++
      }
      yield* Fiber.join(working)
      assert.deepStrictEqual(log.lines, [])
    }))

  test("does nothing for a term that is over [LK-B4]", ({ enqueue, sql }) =>
    Effect.gen(function* () {
      yield* enqueue({})
      yield* sql`DELETE FROM lanekeeper.ticket`
      const report = yield* Effect.provideService(runOnce(reconcile), UnderTerm, Option.some(-1n as Term))
      assert.deepInclude(report, { rows: {}, error: null })
    }))

  test("is part of every start, which then wakes the queues that hold work, and only warns when it fails [LK-A8, LK-D7]", (world) =>
    Effect.gen(function* () {
      const { enqueue, sql } = world
      yield* enqueue({ queue: "lost" })
      yield* sql`DELETE FROM lanekeeper.ticket`
      yield* enqueue({ queue: "held" }, { queue: "other" })
      const { wakeup, woken } = yield* wakes
      const recovering = Effect.provideService(recover(), Wakeup, wakeup)
      assert.deepInclude(yield* quietly(recovering), { reconcile: { "body without a pointer": 1 } })
      assert.deepStrictEqual(yield* woken, ["lost", "held", "lost", "other"])
      yield* sql`ALTER TABLE lanekeeper.survey RENAME TO survey_elsewhere`
      const log = new Lines()
      assert.deepInclude(yield* Effect.provide(recovering, log.layer), { reconcile: {} })
      assert.deepStrictEqual(log.lines, ["Warn: Could not look for damage at start"])
    }))
})
