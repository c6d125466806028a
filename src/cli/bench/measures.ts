/** What is measured. Each is driven as an application would, through the client, and run by a worker. */
import { PgClient } from "@effect/sql-pg/PgClient"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import * as Schema from "effect/Schema"
import { Client } from "../../Client.ts"
import * as Job from "../../Job.ts"
import { counted } from "../../texts.ts"
import { progress } from "../progress.ts"
import type { Measure } from "../shapes.ts"
import { figures, titles } from "./figures.ts"

export const queue = "bench"

export const Sample = Job.make("bench", { payload: { n: Schema.Int, filler: Schema.String }, queue })

/** Nothing went on for so long that there is nothing to measure. */
export class Stalled extends Schema.TaggedError<Stalled>()("Stalled", { doing: Schema.String }) {
  override get message() {
    return `Nothing happened for half a minute (${this.doing}): see what else the server is at, and try again`
  }
}

/** What the handlers tell: when each job began, by its number. */
export class Begun {
  readonly at = new Map<number, number>()
}

export interface Bench {
  readonly begun: Begun
  /** How many attempts have ended in the database. */
  readonly ended: Effect.Effect<number, unknown>
  readonly jobs: number
  readonly seconds: number
  readonly producers: number
  readonly payloadBytes: number
}

const around = 25 // bytes of the payload that are not filler

const payload = (n: number, { payloadBytes }: Bench) => ({ n, filler: "x".repeat(Math.max(0, payloadBytes - around)) })

type Name = (typeof Measure.Type)["measure"]

const told = (measure: Name, jobs: number) => progress(`${titles[measure]}: ${counted(jobs, "job")}`)

/** Waits for a count, as long as it grows. */
const until = Effect.fnUntraced(function* <E, R>(measure: Name, wanted: number, count: Effect.Effect<number, E, R>) {
  let last = { count: -1, at: performance.now() }
  while (true) {
    const now = yield* count
    if (now >= wanted) return
    if (now > last.count) last = { count: now, at: performance.now() }
    else if (performance.now() - last.at > 30_000) return yield* new Stalled({ doing: titles[measure] })
    yield* told(measure, now)
    yield* Effect.sleep("5 millis")
  }
})

const took = Effect.fnUntraced(function* <A, E, R>(effect: Effect.Effect<A, E, R>) {
  const began = performance.now()
  yield* effect
  return performance.now() - began
})

/** Of a statement that does nothing, and of one whose commit waits for the disk, if the server lets commits wait. */
export const ways = Effect.gen(function* () {
  const sql = yield* PgClient
  const median = Effect.fnUntraced(function* <E, R>(effect: Effect.Effect<unknown, E, R>) {
    const times: Array<number> = []
    for (let n = 0; n < 100; n++) times.push(yield* took(effect))
    return figures("run", 0, null, times).median!
  })
  return {
    roundTrip: yield* median(sql`SELECT 1`),
    commit: yield* median(sql`SELECT pg_logical_emit_message(true, 'lanekeeper', '')::text`)
  }
})

/** One job after another, at odd moments, to a worker that waits for them. */
export const pickup = Effect.fnUntraced(function* (bench: Bench) {
  const client = yield* Client
  const committed: Array<number> = []
  const ends = performance.now() + bench.seconds * 1_000
  while (performance.now() < ends) {
    yield* client.enqueue(Sample, payload(committed.length, bench))
    committed.push(performance.now())
    yield* told("pickup", committed.length)
    yield* Effect.sleep(yield* Random.nextIntBetween(0, 20))
  }
  const { at } = bench.begun
  yield* until(
    "pickup",
    committed.length,
    Effect.sync(() => at.size)
  )
  // The handler can begin before the producer hears of its commit.
  const waits = committed.map((time, n) => Math.max(0, at.get(n)! - time))
  return figures("pickup", waits.length, null, waits)
})

/** All producers at once, each waiting for its last call. Nobody serves the queue. */
export const enqueue = Effect.fnUntraced(function* (bench: Bench) {
  const client = yield* Client
  const times: Array<number> = []
  const began = performance.now()
  const produce = Effect.gen(function* () {
    while (performance.now() - began < bench.seconds * 1_000) {
      times.push(yield* took(client.enqueue(Sample, payload(times.length, bench), { queue: "unserved" })))
      yield* told("enqueue", times.length)
    }
  })
  yield* Effect.all(
    Array.from({ length: bench.producers }, () => produce),
    { concurrency: "unbounded", discard: true }
  )
  return figures("enqueue", times.length, performance.now() - began, times)
})

const chunk = 1_000

/** Into a queue that waits until all are there, and then as fast as the worker can. */
export const enqueueAndRun = Effect.fnUntraced(function* (bench: Bench) {
  const client = yield* Client
  yield* client.pauseQueue(queue)
  const before = yield* bench.ended
  const times: Array<number> = []
  for (let n = 0; n < bench.jobs; n += chunk) {
    const some = Array.from({ length: Math.min(chunk, bench.jobs - n) }, (_, index) => payload(n + index, bench))
    times.push(yield* took(client.enqueueMany(Sample, some)))
    yield* told("enqueue-many", n)
  }
  const taken = times.reduce((sum, time) => sum + time, 0)
  const { at } = bench.begun
  at.clear()
  const running = Effect.gen(function* () {
    yield* client.resumeQueue(queue)
    yield* until(
      "run",
      bench.jobs,
      Effect.sync(() => at.size)
    )
    yield* until("run", before + bench.jobs, bench.ended)
  })
  return [
    figures("enqueue-many", bench.jobs, taken, times),
    figures("run", bench.jobs, yield* took(running), [])
  ] as const
})
