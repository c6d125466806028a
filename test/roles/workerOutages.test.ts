/** Workers as processes, while the database or the way to it is gone. */
import { assert, describe } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { EmbeddedPostgres } from "../../src/EmbeddedPostgres.ts"
import { Wakeup } from "../../src/Wakeup.ts"
import { eventually } from "../support/eventually.ts"
import { makeNetwork } from "../support/network.ts"
import { TestDatabase } from "../support/TestDatabase.ts"
import {
  ends,
  enqueue,
  places,
  saidBy,
  startWorker,
  test,
  testOnServer,
  untilPlaces,
  untilSaid
} from "../support/workers.ts"
import type { Running } from "../support/processes.ts"

/** Its handlers end while nothing can be written. */
const endMeanwhile = (worker: Running, held: number) =>
  Effect.gen(function* () {
    yield* worker.signal("SIGUSR2")
    yield* untilSaid(worker, "ended", held)
    yield* worker.says("Outcomes could not be written and are kept")
  })

const isUsable = Effect.gen(function* () {
  const before = (yield* places)["completed"] ?? 0
  yield* enqueue("sleep", 10, { millis: 1 })
  yield* (yield* Wakeup).poke(["default"])
  yield* untilPlaces({ completed: before + 10 })
})

describe.concurrent("Workers", () => {
  testOnServer(
    "go on by themselves when the database was restarted, and write what ended meanwhile [LK-F8, LK-G9, LK-P1]",
    Effect.gen(function* () {
      const { restart } = yield* EmbeddedPostgres
      yield* enqueue("held", 50)
      const worker = yield* startWorker({ HOLDS: "yes" })
      yield* untilSaid(worker, "started", 50)
      yield* restart("fast", endMeanwhile(worker, 50))
      yield* untilPlaces({ completed: 50 })
      assert.deepStrictEqual(yield* ends, { "completed 1": 50 })
      yield* isUsable
    })
  )

  testOnServer(
    "lose nothing and end nothing twice when the database crashes under them [LK-F8, LK-P1]",
    Effect.gen(function* () {
      const { restart } = yield* EmbeddedPostgres
      const jobs = yield* enqueue("sleep", 400, { millis: 20 })
      const workers = yield* Effect.all(
        [startWorker({ LANEKEEPER_CONCURRENCY: "5" }), startWorker({ LANEKEEPER_CONCURRENCY: "5" })],
        {
          concurrency: 2
        }
      )
      yield* untilSaid(workers[0]!, "ended", 20)
      yield* restart("immediate")
      yield* untilPlaces({ completed: 400 })
      const counts = Object.entries(yield* ends)
      const of = (state: string) => counts.filter(([end]) => end.startsWith(state)).reduce((sum, [, n]) => sum + n, 0)
      assert.strictEqual(of("completed"), 400)
      // What was claimed and lost on the way is given back; a claim that the crash forgot was no attempt at all.
      assert.strictEqual(of("rescued") + of("failed") + of("died"), 0)
      const ran = Effect.map(
        Effect.forEach(workers, (worker) => saidBy(worker, "ended")),
        (each) => new Set(each.flat().map((said) => said.split(" ")[0]!))
      )
      assert.sameMembers(
        [...(yield* eventually(ran, ({ size }) => size >= jobs.length))],
        jobs.map((id): string => id)
      )
      yield* isUsable
    })
  )

  test(
    "go on by themselves when every connection was cut, and write what ended meanwhile [LK-G9, LK-P1]",
    Effect.gen(function* () {
      const { cut, mend, url } = yield* makeNetwork((yield* TestDatabase).url)
      yield* enqueue("held", 50)
      const worker = yield* startWorker({ HOLDS: "yes", DATABASE_URL: url })
      yield* untilSaid(worker, "started", 50)
      yield* cut
      yield* endMeanwhile(worker, 50)
      yield* mend
      yield* untilPlaces({ completed: 50 })
      assert.deepStrictEqual(yield* ends, { "completed 1": 50 })
      yield* isUsable
    })
  )

  test(
    "go on by themselves when every connection fell silent, and write what ended meanwhile [LK-G9, LK-P1]",
    Effect.gen(function* () {
      const { forget, url } = yield* makeNetwork((yield* TestDatabase).url)
      yield* enqueue("held", 50)
      const worker = yield* startWorker({ HOLDS: "yes", DATABASE_URL: url, LANEKEEPER_HEARTBEAT: "500 millis" })
      yield* untilSaid(worker, "started", 50)
      yield* forget
      yield* worker.signal("SIGUSR2")
      yield* untilSaid(worker, "ended", 50)
      yield* untilPlaces({ completed: 50 })
      assert.deepStrictEqual(yield* ends, { "completed 1": 50 })
      yield* isUsable
      assert.notInclude(yield* worker.said, "declared dead")
    })
  )
})
