/**
 * Runs moves that meet in every order of their steps. Each caller has a connection of its own and stops wherever another
 * could come between (see `interleavingsHolds.ts`); one is let go at a time, up to its next stop, its end, or a lock that
 * another one holds. The orders are not listed beforehand: every choice between callers that could go on is taken once,
 * unless a meeting has so many that it bounds how often they take turns.
 *
 * An order that fails is printed, step by step.
 */
import { PgClient } from "@effect/sql-pg/PgClient"
import { afterAll, assert, type Vitest } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Console from "effect/Console"
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { SqlError } from "effect/sql/SqlError"
import { Slots } from "../../../src/store/postgres/Slots.ts"
import { Store, type WorkerId } from "../../../src/store/Store.ts"
import { TestDatabase } from "../../support/TestDatabase.ts"
import { elapse } from "../suitePostgres.ts"
import { completed, endOf, hours, makeWorld } from "../suiteWorld.ts"
import * as Contents from "./interleavingsContents.ts"
import { type Held, layHolds } from "./interleavingsHolds.ts"
import { anotherClient, type Caller, makeSide, type Move, type Side, stores } from "./interleavingsSide.ts"

export interface Meeting {
  /** What is there before, written by somebody else. Answers what each caller does. */
  readonly scene: (world: Caller) => Effect.Effect<ReadonlyArray<Move>, SqlError>
  /** The tables over which they can meet: who touches one of them stops. */
  readonly over: ReadonlyArray<Held>
  /**
   * Callers that may also vanish at any of their stops, in orders that are simple until then. What they left is then
   * brought to its end by the lanes.
   */
  readonly vanishing?: ReadonlyArray<number>
  /** Callers that do not wait long for a lock: they are not left waiting while another goes on. */
  readonly impatient?: ReadonlyArray<number>
  /** How often at most a caller is left standing that could go on. Defaults to as often as it can be. */
  readonly switches?: number
  /** Every answer and every end there can be, and all of them must come about. */
  readonly ends: ReadonlyArray<string>
}

interface Choice {
  readonly caller: Side
  readonly vanish: boolean
}

/** A decision that was taken, out of how many, and where its caller stood next. */
interface Step {
  readonly options: number
  readonly chosen: number
  readonly said: string
}

const make = Effect.gen(function* () {
  const database = yield* TestDatabase
  yield* layHolds(yield* PgClient)
  const sql = yield* anotherClient(database)
  const built = yield* Layer.build(stores(sql))
  const store = Context.get(built, Store)
  const age = (time: Duration.Input) => Effect.provideService(elapse(time), PgClient, sql)
  const world: Caller = { ...makeWorld(store, age), sql, slots: Context.get(built, Slots) }
  const control = yield* database.connect
  const everybody = yield* Effect.forEach([0, 1, 2], (index) => makeSide(control, index))

  /** Until whoever was let go stands again, and so do those whose locks it has given back. */
  const settle = (sides: ReadonlyArray<Side>, impatient: ReadonlyArray<Side>) =>
    Effect.gen(function* () {
      const away = sides.filter(({ at }) => at !== "client" && at !== "done")
      if (away.length === 0) return true
      const pids = (some: ReadonlyArray<Side>) => some.map(({ pid }) => pid)
      const { rows } = yield* control.query("SELECT * FROM hold.waiting($1, $2)", [pids(away), pids(sides)])
      for (const side of away) {
        const row = rows.find(({ pid }) => pid === side.pid)
        // Whoever vanishes, or has ended since the look, was seen where it stood before.
        if (
          row === undefined ||
          !["server", "held", "locked"].includes(side.at) ||
          (row["label"] === null && impatient.includes(side))
        )
          return false
      }
      for (const side of away) side.waits(rows.find(({ pid }) => pid === side.pid)!["label"] as string | null)
      // When all of them wait for each other the server must say so.
      return sides.some(({ at }) => at === "client" || at === "held")
    }).pipe(Effect.repeat({ until: (settled) => settled }), Effect.timeout("20 seconds"), Effect.orDie)

  /** Runs one order: the choices given, then always the first there is. */
  const runOrder = Effect.fnUntraced(function* (meeting: Meeting, path: ReadonlyArray<number>, steps: Array<Step>) {
    yield* sql`SELECT hold.empty()`
    const moves = yield* meeting.scene(world)
    const sides = everybody.slice(0, moves.length)
    const chosen = (indexes: ReadonlyArray<number> = []) => indexes.map((index) => everybody[index]!)
    yield* control.query(
      `SELECT pg_advisory_unlock_all(), pg_advisory_lock(1, 1), pg_advisory_lock(2, 1), pg_advisory_lock(3, 1)`
    )
    yield* Effect.forEach(sides, (side, index) => side.begin(moves[index]!, meeting.over), { concurrency: "unbounded" })
    const begun = new Set<Side>()
    let last: Side | undefined
    let switches = 0
    let vanished = false
    while (true) {
      yield* settle(sides, chosen(meeting.impatient))
      const able = sides.filter(({ at }) => at === "client" || at === "held")
      const staying = last !== undefined && able.includes(last)
      const choices = able
        .filter((side) => !staying || side === last || switches < (meeting.switches ?? Infinity))
        .flatMap((caller): ReadonlyArray<Choice> => [
          { caller, vanish: false },
          ...(!vanished && switches < 2 && begun.has(caller) && chosen(meeting.vanishing).includes(caller)
            ? [{ caller, vanish: true }]
            : [])
        ])
      if (choices.length === 0) break
      const index = path[steps.length] ?? 0
      const choice = choices[index]
      if (choice === undefined) return yield* Effect.die(new Error("the same choices led elsewhere"))
      const { caller, vanish } = choice
      steps.push({
        options: choices.length,
        chosen: index,
        said: `${caller.letter} ${vanish ? "vanishes" : "goes on"}, it ${caller.place}`
      })
      if (staying && caller !== last) switches++
      last = caller
      begun.add(caller)
      vanished ||= vanish
      yield* vanish ? caller.vanish : caller.go
    }
    const answers = sides.map(({ answer }) => answer).join("; ")
    const contents = yield* Contents.read(sql)
    yield* blameless(contents)
    yield* leaseless(contents.over)
    if (vanished) yield* recovers
    return `${answers} → ${contents.told}`
  }, Effect.scoped)

  const blameless = ({ faults, told }: Contents.Contents) =>
    faults.length === 0 ? Effect.void : Effect.die(new Error(`${faults.join("; ")} (${told})`))

  /** What a worker does at its beat with leases it does not hold, and the leader with those of the dead. */
  const leaseless = Effect.fnUntraced(function* (over: Contents.Contents["over"]) {
    if (over.length === 0) return
    for (const { id, worker } of over) {
      const { alive, leases } = yield* store.beat(worker as WorkerId)
      const mine = leases.filter((lease) => lease === id)
      if (alive) yield* store.release(worker as WorkerId, mine)
      else yield* store.rescueWorker(worker as WorkerId, { limit: 10, crashBudget: 10 })
    }
    const after = yield* Contents.read(sql)
    yield* blameless(after)
    if (after.over.length > 0) return yield* Effect.die(new Error("a lease that is over stays for ever"))
  })

  /** Whatever was left behind, the lanes and another worker bring every job to its end. */
  const recovers = Effect.gen(function* () {
    for (const row of yield* store.workers) {
      if (!row.declaredDead) yield* store.declareDead(row.id, row.beats)
      yield* store.rescueWorker(row.id, { limit: 100, crashBudget: 10 })
    }
    for (const queue of yield* store.pausedQueues) yield* store.unpause(queue)
    yield* world.elapse(hours(100))
    yield* store.promote({ limit: 100 })
    yield* store.expireWaits({ limit: 100 })
    const worker = yield* world.register
    const { jobs } = yield* world.claim(worker)
    yield* store.finish(
      worker,
      jobs.map((job) => endOf(job, completed))
    )
    const contents = yield* Contents.read(sql)
    yield* blameless(contents)
    if (/ready|running|waiting|scheduled/.test(contents.told)) {
      return yield* Effect.die(new Error(`the lanes left ${contents.told}`))
    }
  })

  const run = Effect.fnUntraced(function* (meeting: Meeting) {
    // What the orders before have left behind would be read again in each of these.
    yield* sql`VACUUM ANALYZE lanekeeper.job, lanekeeper.attempt_end, lanekeeper.ticket, lanekeeper.lease`
    const ends = new Map<string, ReadonlyArray<Step>>()
    let path: ReadonlyArray<number> | undefined = []
    let orders = 0
    while (path !== undefined) {
      const steps: Array<Step> = []
      const end = yield* Effect.catchCause(runOrder(meeting, path, steps), (cause) =>
        Effect.die(new Error(`${Cause.pretty(cause)}\n${print(steps)}`))
      )
      orders++
      if (!ends.has(end)) ends.set(end, steps)
      path = next(steps)
    }
    const surprising = [...ends].filter(([end]) => !meeting.ends.includes(end))
    const told = surprising.map(([end, steps]) => `Not expected: ${end}\n${print(steps)}`)
    const missing = meeting.ends.filter((end) => !ends.has(end)).map((end) => `Never came about: ${end}`)
    assert.isTrue(told.length + missing.length === 0, [...told, ...missing].join("\n"))
    return orders
  })
  return { run }
})

/** Makes tests of meetings, and says at the end in how many orders they were run. */
export const meetings = (it: Vitest.MethodsNonLive<Interleavings>) => {
  let total = 0
  let count = 0
  afterAll(() => Effect.runSync(Console.log(`${total} orders of ${count} meetings`)))
  return (sentence: string, meeting: Meeting) => {
    const test = Effect.gen(function* () {
      const { run } = yield* Interleavings
      total += yield* run(meeting)
      count++
    })
    it.effect(sentence, () => test, 90_000) // hundreds of orders: seconds, where nobody else wants the processors
  }
}

const print = (steps: ReadonlyArray<Step>) => steps.map(({ said }) => `  ${said}`).join("\n")

/** The last decision that could have been another one, taken so. */
const next = (steps: ReadonlyArray<Step>): ReadonlyArray<number> | undefined => {
  const last = steps.findLastIndex(({ chosen, options }) => chosen + 1 < options)
  return last < 0 ? undefined : [...steps.slice(0, last).map(({ chosen }) => chosen), steps[last]!.chosen + 1]
}

export class Interleavings extends Context.Service<Interleavings, Effect.Success<typeof make>>()(
  "lanekeeper/test/Interleavings"
) {
  static readonly layer = Layer.effect(Interleavings, make).pipe(Layer.provide(TestDatabase.layer))
}
