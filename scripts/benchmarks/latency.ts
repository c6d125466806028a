/**
 * Measures how long a job waits for an idle worker: from when its enqueue has committed until its handler begins, at
 * several rates, beside the plain table in turns, and again with a snapshot pinned throughout.
 *
 * The producer and the worker are two processes with one clock. Jobs are enqueued one by one, each when it is due,
 * whether the last has come back or not.
 */
import * as PgConnection from "@effect/sql-pg/PgConnection"
import * as Effect from "effect/Effect"
import { type Benchmark, figure } from "./Benchmark.ts"
import { startServer } from "./server.ts"
import type { Contender } from "./work/Contender.ts"
import { contenders } from "./work/contenders.ts"
import { makeTemplate, openDatabase } from "./work/database.ts"
import { startFleet } from "./work/fleet.ts"

interface Cell {
  readonly rate: number
  readonly pinned: boolean
  /** Milliseconds: DESIGN's goals for the median and the last hundredth. */
  readonly goal: readonly [p50: number, p99: number]
}

const cells: ReadonlyArray<Cell> = [
  { rate: 200, pinned: false, goal: [2, 5] },
  { rate: 1_000, pinned: false, goal: [2.2, 6] },
  { rate: 1_000, pinned: true, goal: [2.5, 7] },
  { rate: 3_000, pinned: true, goal: [3, 10] }
]

const titleOf = ({ pinned, rate }: Cell) => `${rate}/s${pinned ? ", pinned" : ""}`

const now = () => performance.timeOrigin + performance.now()

export const latency: Benchmark = {
  name: "latency",
  about: "from an enqueue's commit to its handler, at 200 to 3,000 a second, with a snapshot pinned too",
  run: Effect.fnUntraced(function* ({ short }) {
    const { admin, facts, url } = yield* startServer
    const rounds = short ? 2 : 3
    const seconds = (cell: Cell) => (short ? 5 : cell.pinned ? 60 : 20)
    for (const [index, contender] of contenders.entries()) {
      yield* makeTemplate(admin, url, contender, `contender_${index}`)
    }

    const measure = Effect.fnUntraced(function* (contender: Contender, cell: Cell) {
      const template = `contender_${contenders.indexOf(contender)}`
      const { producer, url: database } = yield* openDatabase(admin, url, contender, template)
      const warmUp = 1_000
      const unmeasured = cell.rate // a second, in which the producer opens its connections
      const jobs = unmeasured + cell.rate * seconds(cell)
      const committed = new Float64Array(warmUp + jobs)
      const started = new Float64Array(warmUp + jobs)
      const onStart = (n: number, at: number) => void (started[n] = at)
      const fleet = yield* startFleet({ contender, url: database, processes: 1, concurrency: 50, onStart })
      const enqueue = (n: number) =>
        Effect.andThen(
          producer.one(n),
          Effect.sync(() => (committed[n] = now()))
        )
      // One after another, which needs the worker to be up and warms both.
      for (let n = 0; n < warmUp; n++) yield* enqueue(n)
      yield* fleet.until(warmUp)

      if (cell.pinned) {
        const reader = yield* PgConnection.make({ url: database })
        yield* reader.query("BEGIN ISOLATION LEVEL REPEATABLE READ")
        yield* reader.query("SELECT count(*) FROM pg_class")
      }
      const begin = now()
      yield* Effect.gen(function* () {
        for (let n = 0; n < jobs;) {
          const due = Math.min(jobs, Math.floor(((now() - begin) * cell.rate) / 1_000) + 1)
          for (; n < due; n++) yield* Effect.forkScoped(enqueue(warmUp + n))
          yield* Effect.sleep(1)
        }
        yield* fleet.until(warmUp + jobs)
      })
      const waits = started
        .map((at, n) => at - committed[n]!)
        .subarray(warmUp + unmeasured)
        .toSorted()
      const { left } = yield* Effect.repeat(Effect.delay(producer.ends, "20 millis"), {
        until: ({ ended }) => ended >= warmUp + jobs
      })
      if (left !== 0) return yield* Effect.die(`${contender.name} left ${left} jobs`)
      // The handler can begin before the producer hears of its commit.
      const at = (share: number) => Math.max(0, waits[Math.floor(waits.length * share)]!)
      return [at(0.5), at(0.99)] as const
    }, Effect.scoped)

    const found = new Map<string, Array<readonly [number, number]>>()
    for (let round = 0; round < rounds; round++) {
      for (const cell of cells) {
        for (const contender of contenders) {
          const key = `${contender.name}\0${titleOf(cell)}`
          found.set(key, [...(found.get(key) ?? []), yield* measure(contender, cell)])
        }
      }
    }
    const of = (contender: Contender, cell: Cell, which: 0 | 1) =>
      figure(found.get(`${contender.name}\0${titleOf(cell)}`)!.map((waits) => waits[which]))
    const table = (title: string, which: 0 | 1) => ({
      title,
      columns: ["", ...cells.map(titleOf)],
      rows: contenders.map((contender) => [contender.name, ...cells.map((cell) => of(contender, cell, which))])
    })
    const ours = contenders.at(-1)!
    return {
      facts: {
        ...facts,
        driven: `${rounds} rounds, ${cells.map((cell) => `${seconds(cell)} s at ${titleOf(cell)}`).join(", ")}, each after a second that is not counted; one worker, concurrency 50`
      },
      tables: [table("milliseconds, median", 0), table("milliseconds, 99th of 100", 1)],
      goals: cells.flatMap((cell) =>
        ([0, 1] as const).map((which) => ({
          goal: `milliseconds at ${titleOf(cell)}, ${which === 0 ? "median" : "99th of 100"}`,
          atMost: cell.goal[which],
          found: of(ours, cell, which)
        }))
      )
    }
  })
}
