/** What every lane does to jobs, run over each store. */
import { assert, describe } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { SqlError } from "effect/sql/SqlError"
import { lanes as all } from "../../src/lanes/index.ts"
import { classes, type Report, runOnce, totalOf } from "../../src/lanes/Lane.ts"
import { outbox } from "../../src/lanes/outbox.ts"
import { promote } from "../../src/lanes/promote.ts"
import { recover } from "../../src/lanes/recover.ts"
import { rescueCallback } from "../../src/lanes/rescueCallback.ts"
import { rescueDeadline } from "../../src/lanes/rescueDeadline.ts"
import { rescueStale } from "../../src/lanes/rescueStale.ts"
import { tick } from "../../src/lanes/tick.ts"
import { Store } from "../../src/store/Store.ts"
import { Wakeup } from "../../src/Wakeup.ts"
import { hours, makeWorld, retried, type World } from "../store/suiteWorld.ts"
import { wakes } from "./world.ts"

export interface LanesUnderTest<R> {
  readonly it: (sentence: string, body: () => Effect.Effect<void, unknown, R | Store | Wakeup | Scope.Scope>) => void
  readonly empty: Effect.Effect<Store["Service"], SqlError, R | Store | Scope.Scope>
  readonly elapse: (time: Duration.Input) => Effect.Effect<unknown, SqlError, R>
}

/** A job for each of the user-visible lanes, due, and one that is ready. */
export const dueEverywhere = Effect.fnUntraced(function* (world: World) {
  const { declareDead, elapse, enqueue, running, waiting } = world
  const retry = yield* running()
  yield* retry.end(retried(hours(1)))
  const wait = yield* waiting("token", "retry")
  const [scheduled] = yield* enqueue({ runIn: hours(1) })
  const overdue = yield* running({ deadline: hours(1) })
  yield* elapse(hours(3))
  const vanished = yield* running()
  yield* declareDead(vanished.worker)
  const [ready] = yield* enqueue({ queue: "untouched" })
  return { scheduled: scheduled!, retry: retry.id, vanished: vanished.id, overdue: overdue.id, wait, ready: ready! }
})

/** Not the hour in which this runs, wherever that is. */
const away = { quietHour: (new Date().getUTCHours() + 12) % 24 || 12 }
const awake = all.filter(({ quietHour }) => quietHour === undefined)
const inOrder = classes.flatMap((one) => awake.filter((lane) => lane.class === one)).map(({ name }) => name)
const others = inOrder.slice(4)
const dueAfter = (seconds: number) =>
  inOrder.filter((name) => Duration.toSeconds(all.find((lane) => lane.name === name)!.interval) <= seconds)

export const suite = <R>({ elapse, empty, it }: LanesUnderTest<R>): void => {
  const test = (
    sentence: string,
    body: (world: World) => Effect.Effect<void, unknown, R | Store | Wakeup | Scope.Scope>
  ) =>
    it(sentence, () =>
      Effect.gen(function* () {
        const context = yield* Effect.context<R>()
        const world = makeWorld(yield* empty, (time) => Effect.provideContext(elapse(time), context))
        yield* body(world)
      })
    )

  describe("lanes", () => {
    test("move what is due and nothing else [LK-B10, LK-C1, LK-C2, LK-C4, LK-C5]", (world) =>
      Effect.gen(function* () {
        const jobs = yield* dueEverywhere(world)
        assert.deepInclude(yield* runOnce(promote), { rows: { ready: 2 }, drained: true, error: null })
        yield* world.isAt("ready", jobs.scheduled, jobs.retry)
        yield* world.isAt("running", jobs.vanished, jobs.overdue)
        assert.deepInclude(yield* runOnce(rescueStale), { rows: { ready: 1 } })
        yield* world.isAt("ready", jobs.vanished)
        assert.deepInclude(yield* runOnce(rescueDeadline), { rows: { ready: 1 } })
        yield* world.isAt("ready", jobs.overdue)
        yield* world.isAt("waiting", jobs.wait)
        assert.deepInclude(yield* runOnce(rescueCallback), { rows: { ready: 1 } })
        yield* world.isAt("ready", jobs.wait, jobs.ready)
        assert.deepInclude(yield* runOnce(outbox), { rows: { numbered: 2 } })
        for (const lane of all) assert.deepInclude(yield* runOnce(lane), { rows: {}, drained: true, error: null })
      }))

    test("drain in batches, and wake each queue once [LK-B7, LK-C1]", ({ elapse, enqueue }) =>
      Effect.gen(function* () {
        const { wakeup, woken } = yield* wakes
        yield* enqueue(...Array.from({ length: 25 }, (_, n) => ({ runIn: hours(1), queue: n % 2 ? "odd" : "even" })))
        yield* elapse(hours(1))
        const report = yield* Effect.provideService(runOnce({ ...promote, batch: 10 }), Wakeup, wakeup)
        assert.deepInclude(report, { rows: { ready: 25 }, batches: 3, drained: true })
        assert.deepStrictEqual([...(yield* woken)].toSorted(), ["even", "odd"])
      }))

    test("move every job once when each is run 8 times at once [LK-B4]", (world) =>
      Effect.gen(function* () {
        const { claim, declareDead, elapse, enqueue, register, store } = world
        const count = 60
        yield* enqueue(...Array.from({ length: count }, () => ({ runIn: hours(1) })))
        for (let n = 0; n < count / 10; n++) {
          yield* enqueue(...Array.from({ length: 10 }, () => ({ deadline: hours(1), queue: "late" })))
          yield* claim(yield* register, 10, "late")
        }
        for (let n = 0; n < 20; n++) yield* world.waiting(`token ${n}`, n % 2 ? "retry" : "cancel")
        yield* elapse(hours(3))
        const worker = yield* register
        for (let n = 0; n < count / 10; n++) {
          yield* enqueue(...Array.from({ length: 10 }, () => ({ queue: "stale" })))
          yield* claim(worker, 10, "stale")
        }
        yield* declareDead(worker)

        const eight = (lane: typeof promote) =>
          Effect.forEach(Array.from({ length: 8 }), () => runOnce({ ...lane, batch: 7 }), { concurrency: 8 })
        const sums = (reports: ReadonlyArray<Report>) => {
          assert.isTrue(reports.every(({ error }) => error === null))
          return reports.reduce((sum, { rows }) => sum + totalOf(rows), 0)
        }
        const moving = all.filter((lane) => lane.class === "user-visible")
        const moved = yield* Effect.forEach(moving, (lane) => Effect.map(eight(lane), sums), { concurrency: 4 })
        assert.deepStrictEqual(moved, [count, count, count, 20])
        assert.lengthOf(yield* store.page({ place: "ready", limit: 500 }), 3 * count + 10)
        assert.lengthOf(yield* store.page({ place: "cancelled", limit: 500 }), 10)
      }))
  })

  describe("recovery", () => {
    test("does at once what lanes would do, and counts it by step [LK-A8]", (world) =>
      Effect.gen(function* () {
        const jobs = yield* dueEverywhere(world)
        assert.deepStrictEqual(yield* recover(), {
          "rescue-stale": { ready: 1 },
          "rescue-deadline": { ready: 1 },
          "rescue-callback": { ready: 1 },
          promote: { ready: 2 },
          reconcile: {},
          outbox: { numbered: 2 }
        })
        const { ready, ...moved } = jobs
        yield* world.isAt("ready", ready, ...Object.values(moved))
        assert.deepStrictEqual(yield* recover(), {
          "rescue-stale": {},
          "rescue-deadline": {},
          "rescue-callback": {},
          promote: {},
          reconcile: {},
          outbox: {}
        })
      }))

    test("rescues nobody who was silent before anybody watched [LK-C3]", ({ elapse, isAt, running }) =>
      Effect.gen(function* () {
        const { id } = yield* running()
        yield* elapse(hours(1))
        assert.deepInclude(yield* recover(), { "rescue-stale": {} })
        yield* isAt("running", id)
      }))
  })

  describe("tick", () => {
    test("runs every lane once, and again when its interval has passed [LK-A5]", (world) =>
      Effect.gen(function* () {
        yield* dueEverywhere(world)
        const first = yield* tick(away)
        assert.deepStrictEqual(
          first.ran.map(({ lane, rows }) => [lane, totalOf(rows)]),
          [
            ["promote", 2],
            ["rescue-stale", 1],
            ["rescue-deadline", 1],
            ["rescue-callback", 1],
            ...others.map((name) => [name, name === outbox.name ? 2 : 0] as const)
          ]
        )
        assert.deepStrictEqual(first.left, [])
        yield* world.elapse("2 seconds")
        const second = (yield* tick(away)).ran.map(({ lane }) => lane)
        assert.deepStrictEqual(second, dueAfter(2))
        yield* world.elapse("5 seconds")
        const third = (yield* tick(away)).ran.map(({ lane }) => lane)
        assert.deepStrictEqual(third, dueAfter(5))
      }))

    test("rescues what a worker left behind, when it is called often enough to watch [LK-A5, LK-C3]", (world) =>
      Effect.gen(function* () {
        const { id } = yield* world.running()
        for (const _ of [0, 8, 16, 24]) {
          yield* tick()
          yield* world.isAt("running", id)
          yield* world.elapse("8 seconds")
        }
        yield* tick()
        yield* world.isAt("ready", id)
      }))

    test("runs the lanes it is told to, due or not, and knows which there are [LK-A5]", () =>
      Effect.gen(function* () {
        yield* tick()
        const told = (yield* tick({ only: ["rescue-callback"] })).ran.map(({ lane }) => lane)
        assert.deepStrictEqual(told, ["rescue-callback"])
        const error = yield* Effect.flip(tick({ only: ["promot"] }))
        assert.strictEqual(
          error.message,
          `There is no lane "promot": there are ${all.map(({ name }) => name).join(", ")}`
        )
      }))

    test("leaves for the next time what its budget has no room for [LK-A5]", ({ elapse, enqueue }) =>
      Effect.gen(function* () {
        yield* enqueue({ runIn: hours(1) })
        yield* elapse(hours(1))
        const { left, ran } = yield* tick({ ...away, budget: 0 })
        assert.deepStrictEqual(ran, [])
        assert.deepStrictEqual(left, inOrder)
      }))
  })
}
