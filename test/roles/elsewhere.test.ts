/** A database that goes on elsewhere, on a copy of its files or restored from a dump, with nothing repaired by hand. */
import { assert, describe, it } from "@effect/vitest"
import * as PgClient from "@effect/sql-pg/PgClient"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Scope from "effect/Scope"
import { numberOf } from "../../src/domain/Job.ts"
import { EmbeddedPostgres } from "../../src/EmbeddedPostgres.ts"
import { layerPostgres } from "../../src/store/postgres/index.ts"
import { Store } from "../../src/store/Store.ts"
import { job } from "../store/suiteWorld.ts"
import { eventually } from "../support/eventually.ts"
import { makeNetwork } from "../support/network.ts"
import { restore, startEmpty, startOnCopy } from "../support/otherServer.ts"
import { layerOwnServer } from "../support/ownServer.ts"
import { main, run, type Running, start } from "../support/processes.ts"
import { TestDatabase } from "../support/TestDatabase.ts"
import { ends, places, untilPlaces, untilSaid, workerApp } from "../support/workers.ts"

const test = (
  sentence: string,
  body: Effect.Effect<void, unknown, EmbeddedPostgres | PgClient.PgClient | TestDatabase | Scope.Scope>
) => it.live(sentence, () => body.pipe(Effect.scoped, Effect.provide(layerOwnServer)), 90_000)

const hasty = {
  LANEKEEPER_HEARTBEAT: "500 millis",
  LANEKEEPER_STALE_AFTER: "6 seconds", // a worker on a busy machine takes seconds to find the server again
  LANEKEEPER_LANES: "rescue-stale=500 millis,rescue-callback=500 millis"
}

const startRoles = Effect.fnUntraced(function* (url: string) {
  const env = { DATABASE_URL: url, ...hasty }
  const maintenance = yield* start(process.execPath, [main, "maintenance"], { env })
  const worker = yield* start(process.execPath, [main, "worker", "--app", workerApp], { env: { ...env, HOLDS: "yes" } })
  yield* worker.says("A worker joined")
  return { maintenance, worker }
})

/** The store of a database, and what reads it beside the store. */
const storeAt = (url: string) =>
  Layer.build(layerPostgres().pipe(Layer.provideMerge(PgClient.layer({ url: Redacted.make(url) }))))

const noop = (more: Parameters<typeof job>[0] = {}) => job({ kind: "noop", queue: "default", payload: {}, ...more })

/** Work of every sort: ready, due soon, waiting for somebody who will not come, and held by a worker that is no more. */
const leaveWork = Effect.fnUntraced(function* (store: Store["Service"]) {
  const gone = yield* store.register("a worker that is no more")
  const claim = { worker: gone, kinds: ["noop"], queues: [{ queue: "default", limit: 6 }] }
  // At once, or a live worker would have them.
  const taken = store.atomically(
    Effect.andThen(store.enqueue(Array.from({ length: 6 }, () => noop())), store.claim(claim))
  )
  const [parked] = (yield* taken).jobs
  const ending = { _tag: "Parked", token: "a token", expiresIn: Duration.seconds(1), onExpiry: "retry" } as const
  const { attempt, id, lease } = parked!
  yield* store.finish(gone, [{ id, lease, attempt, ran: Duration.zero, ending }])
  // Their commit waits for the disk, and so for all before it.
  yield* store.enqueue([noop({ runIn: Duration.seconds(2) }), noop({ runIn: Duration.seconds(2) })])
  return { jobs: 8, rescued: 5 }
})

/** All of it is done, the lead is in a later term, and nothing contradicts anything. */
const isWell = Effect.fnUntraced(function* (
  url: string,
  wanted: { readonly completed: number; readonly rescued: number; readonly term: bigint; readonly last: bigint }
) {
  const ground = yield* storeAt(url)
  const store = Context.get(ground, Store)
  yield* Effect.gen(function* () {
    yield* untilPlaces({ completed: wanted.completed })
    const ended = yield* ends
    assert.strictEqual(ended["rescued 1"], wanted.rescued)
    assert.strictEqual(ended["parked 1"], 1)
    yield* eventually(store.leader, ({ holder, term }) => Option.isSome(holder) && term > wanted.term)
    const [id] = yield* store.enqueue([noop()])
    assert.isAbove(Number(numberOf(id!)), Number(wanted.last))
    yield* untilPlaces({ completed: wanted.completed + 1 })
    const tick = yield* run(process.execPath, [main, "tick", "--lane", "reconcile", "--json"], {
      env: { DATABASE_URL: url }
    })
    assert.deepInclude(JSON.parse(tick.stdout).ran[0], { lane: "reconcile", rows: {}, error: null })
    const told = yield* run(process.execPath, [main, "doctor"], { env: { DATABASE_URL: url, ...hasty } })
    assert.strictEqual(told.code, 0, told.stdout)
    assert.deepStrictEqual(yield* places, { completed: wanted.completed + 1 })
  }).pipe(Effect.provideContext(ground))
})

const newest = Effect.fnUntraced(function* (store: Store["Service"]) {
  const pages = yield* Effect.forEach(["ready", "scheduled", "running", "waiting"] as const, (place) =>
    store.page({ place, limit: 1 })
  )
  return pages.flat().reduce((last, { id }) => (numberOf(id) > last ? numberOf(id) : last), 0n)
})

const endWell = (...processes: ReadonlyArray<Running>) =>
  Effect.forEach(processes, (process) =>
    Effect.gen(function* () {
      yield* process.signal("SIGTERM")
      assert.strictEqual((yield* process.ended).code, 0)
    })
  )

describe.concurrent("A database elsewhere", () => {
  test(
    "goes on from a dump in an empty cluster: waiting jobs run, old leases are rescued, terms grow [LK-K9]",
    Effect.gen(function* () {
      const { url } = yield* TestDatabase
      const ground = yield* storeAt(url)
      const store = Context.get(ground, Store)
      yield* store.enqueue([noop(), noop()])
      const before = yield* startRoles(url)
      yield* Effect.provideContext(untilPlaces({ completed: 2 }), ground)
      yield* eventually(store.leader, ({ holder }) => Option.isSome(holder))
      for (const process of Object.values(before)) yield* process.signal("SIGKILL")
      const left = yield* leaveWork(store)
      const { term } = yield* store.leader
      const last = yield* newest(store)
      const elsewhere = yield* startEmpty
      yield* restore(url, elsewhere)
      yield* startRoles(elsewhere)
      yield* isWell(elsewhere, { completed: left.jobs + 2, rescued: left.rescued, term, last })
    })
  )

  test(
    "goes on after a fail-over under the roles that were at work: nothing is lost, and nothing is to be restarted [LK-K9] [LK-P1] [LK-F8]",
    Effect.gen(function* () {
      const { url } = yield* TestDatabase
      const { directory, restart } = yield* EmbeddedPostgres
      const network = yield* makeNetwork(url)
      const store = Context.get(yield* storeAt(url), Store)
      const { maintenance, worker } = yield* startRoles(network.url)
      yield* eventually(store.leader, ({ holder }) => Option.isSome(holder))
      yield* store.enqueue([noop({ kind: "held" }), noop({ kind: "held" })])
      yield* untilSaid(worker, "started", 2)
      const left = yield* leaveWork(store)
      const { term } = yield* store.leader
      const last = yield* newest(store)
      let elsewhere = ""
      const failOver = Effect.gen(function* () {
        elsewhere = yield* startOnCopy(directory, url)
        yield* network.lead(elsewhere)
      })
      const scope = yield* Scope.Scope
      yield* restart("immediate", Effect.orDie(Effect.provideService(failOver, Scope.Scope, scope)))
      yield* worker.signal("SIGUSR2")
      yield* isWell(elsewhere, { completed: left.jobs + 2, rescued: left.rescued, term, last })
      yield* endWell(maintenance, worker)
    })
  )
})
