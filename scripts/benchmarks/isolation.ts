/**
 * Measures what the split of lanes into crews buys: how late promote and the rescues begin while storage and hygiene
 * are wedged, beside the same lanes undisturbed, and beside all of them forced into one loop on one connection.
 *
 * They are wedged in three ways: by bodies that never return, by a lock on what they touch, and by transactions that
 * keep their connections. Jobs become due all the while.
 */
import * as PgClient from "@effect/sql-pg/PgClient"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Random from "effect/Random"
import * as References from "effect/References"
import * as Schedule from "effect/Schedule"
import * as Lanekeeper from "../../src/Lanekeeper.ts"
import { budgetOf, crewsOf } from "../../src/lanes/crews.ts"
import { lanes as all } from "../../src/lanes/index.ts"
import { type Lane, loop, runOnce } from "../../src/lanes/Lane.ts"
import { Store } from "../../src/store/Store.ts"
import { StoreConnections } from "../../src/StoreConnections.ts"
import { type Benchmark, figure } from "./Benchmark.ts"
import { startServer } from "./server.ts"

interface Wedge {
  readonly name: string
  readonly body?: Lane["body"]
  /** Tables that only storage and hygiene write. */
  readonly locks?: ReadonlyArray<string>
}

const wedges: ReadonlyArray<Wedge> = [
  { name: "undisturbed" },
  { name: "bodies never return", body: () => Effect.never },
  { name: "a lock on what they touch", locks: ["look", "stats", "survey", "unique_key"] },
  {
    name: "their connections kept",
    body: () => Effect.flatMap(Store, (store) => store.atomically(Effect.never))
  }
]

const isVisible = (lane: Lane) => lane.class === "user-visible"

/** Milliseconds by which runs began late, by lane. What was still due at the end counts with what it had waited. */
class Lateness {
  private readonly samples: Array<{ readonly promote: boolean; readonly late: number }> = []
  private readonly due = new Map<string, number>()

  began(lane: Lane, now: number): void {
    const due = this.due.get(lane.name)
    if (due !== undefined) this.add(lane.name, now - due)
    this.due.set(lane.name, now + Duration.toMillis(lane.interval))
  }

  end(now: number): void {
    for (const [name, due] of this.due) if (now > due) this.add(name, now - due)
  }

  private add(name: string, late: number): void {
    this.samples.push({ promote: name === "promote", late: Math.max(0, late) })
  }

  of(promote: boolean): { readonly p50: number; readonly p99: number; readonly runs: number } {
    const sorted = this.samples
      .filter((one) => one.promote === promote)
      .map(({ late }) => late)
      .toSorted((a, b) => a - b)
    const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Infinity
    return { p50: at(0.5), p99: at(0.99), runs: sorted.length }
  }
}

/** Timers without jitter: it would look like lateness. */
const steady = { nextDoubleUnsafe: () => 0.5, nextIntUnsafe: () => 0 }

/** The lanes as maintenance runs them, which this tells when each begins. */
const watched = (lanes: ReadonlyArray<Lane>, lateness: Lateness) =>
  lanes.map((lane): Lane => ({
    ...lane,
    body: (batch) =>
      Effect.flatMap(Clock.currentTimeMillis, (now) => {
        if (isVisible(lane)) lateness.began(lane, now)
        return lane.body(batch)
      })
  }))

const split = Effect.fnUntraced(function* (lanes: ReadonlyArray<Lane>) {
  const stores = yield* StoreConnections
  const stopping = yield* Deferred.make<void>()
  yield* Effect.forEach(
    crewsOf(lanes),
    Effect.fnUntraced(function* (crew) {
      const store = yield* stores.open(budgetOf(crew, `lanekeeper bench ${crew.name}`))
      const loops = Effect.forEach(crew.lanes, (lane) => loop(lane, { stopping, onRun: () => Effect.void }), {
        concurrency: "unbounded"
      })
      yield* Effect.provideService(loops, Store, store)
    }),
    { concurrency: "unbounded", discard: true }
  )
})

/** One after another, whichever is due. */
const oneLoop = Effect.fnUntraced(function* (lanes: ReadonlyArray<Lane>) {
  const stores = yield* StoreConnections
  const store = yield* stores.open(budgetOf(crewsOf(lanes)[0]!, "lanekeeper bench one loop"))
  const due = new Map<string, number>()
  const round = Effect.gen(function* () {
    for (const lane of lanes) {
      const now = yield* Clock.currentTimeMillis
      if ((due.get(lane.name) ?? 0) > now) continue
      due.set(lane.name, now + Duration.toMillis(lane.interval))
      yield* runOnce(lane)
    }
  })
  yield* round.pipe(Effect.repeat(Schedule.spaced("10 millis")), Effect.provideService(Store, store))
})

export const isolation: Benchmark = {
  name: "isolation",
  about:
    "how late promote and the rescues begin while storage and hygiene are wedged, split and in one loop; [--seconds n]",
  run: Effect.fnUntraced(function* ({ seconds, short }) {
    const { admin, facts, url } = yield* startServer
    const usual = short ? Duration.seconds(12) : Duration.minutes(7) // eight of them: an hour
    const each = seconds === undefined ? usual : Duration.seconds(seconds / (2 * wedges.length))
    const ground = Lanekeeper.layerPostgres().pipe(Layer.provideMerge(PgClient.layer({ url, maxConnections: 4 })))
    const services = yield* Layer.build(ground)
    const store = Context.get(services, Store)
    const job = { kind: "note", queue: "default", priority: 5, payload: null }
    const load = store
      .enqueue(Array.from({ length: 20 }, (_, n) => ({ ...job, runIn: Duration.millis(50 * n + 1) })))
      .pipe(Effect.repeat(Schedule.spaced("100 millis")))

    const measure = Effect.fnUntraced(function* (
      wedge: Wedge,
      run: (lanes: ReadonlyArray<Lane>) => Effect.Effect<void, unknown, any>
    ) {
      const lateness = new Lateness()
      const wedged = all.map((lane): Lane => ({
        ...lane,
        interval: isVisible(lane) ? lane.interval : Duration.seconds(1), // so that all of them are met soon
        ...(isVisible(lane) || wedge.body === undefined ? {} : { body: wedge.body })
      }))
      if (wedge.locks !== undefined) {
        const locker = yield* (yield* Effect.orDie(Effect.provide(PgClient.PgClient, services))).reserve
        yield* locker.executeRaw("BEGIN", [])
        const tables = wedge.locks.map((table) => `lanekeeper.${table}`).join(", ")
        yield* locker.executeRaw(`LOCK TABLE ${tables} IN ACCESS EXCLUSIVE MODE`, [])
        yield* Effect.addFinalizer(() => Effect.ignore(locker.executeRaw("ROLLBACK", [])))
      }
      const running = yield* Effect.forkScoped(Effect.all([run(watched(wedged, lateness)), load], { concurrency: 2 }))
      yield* Effect.sleep(each)
      lateness.end(yield* Clock.currentTimeMillis)
      yield* Fiber.interrupt(running)
      yield* admin.query("TRUNCATE lanekeeper.timed, lanekeeper.ticket, lanekeeper.job, lanekeeper.attempt_end")
      return { promote: lateness.of(true), rescues: lateness.of(false) }
    }, Effect.scoped)

    const found = yield* Effect.forEach(wedges, (wedge) =>
      Effect.gen(function* () {
        return { wedge, split: yield* measure(wedge, split), loop: yield* measure(wedge, oneLoop) }
      })
    ).pipe(
      Effect.provide(services),
      Effect.provideService(References.MinimumLogLevel, "Fatal"),
      Effect.provideService(Random.Random, steady)
    )

    const cell = ({ p50, p99 }: { readonly p50: number; readonly p99: number }) =>
      `${p50.toFixed(0)} / ${p99.toFixed(0)}`
    const calm = found[0]!.split
    const bound = (p99: number) => Math.round(Math.max(p99 * 1.1, p99 + 20))
    return {
      facts: {
        ...facts,
        driven: `${Duration.format(each)} each; 200 jobs a second become due; storage and hygiene lanes every second`
      },
      tables: [
        {
          title: "lateness, p50 / p99 ms",
          columns: ["storage and hygiene", "promote", "rescues", "promote, one loop", "rescues, one loop"],
          rows: found.map(({ loop, split, wedge }) => [
            wedge.name,
            cell(split.promote),
            cell(split.rescues),
            cell(loop.promote),
            cell(loop.rescues)
          ])
        }
      ],
      goals: found.slice(1).flatMap(({ split, wedge }) => [
        { goal: `promote p99, ${wedge.name}`, atMost: bound(calm.promote.p99), found: figure([split.promote.p99]) },
        { goal: `rescues p99, ${wedge.name}`, atMost: bound(calm.rescues.p99), found: figure([split.rescues.p99]) }
      ])
    }
  })
}
