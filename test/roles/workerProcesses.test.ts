/** Workers as processes, through what happens to processes: killed, frozen, told to stop, poisoned. */
import { assert, describe } from "@effect/vitest"
import { PgClient } from "@effect/sql-pg/PgClient"
import * as Effect from "effect/Effect"
import { Client } from "../../src/Client.ts"
import { Wakeup } from "../../src/Wakeup.ts"
import { eventually } from "../support/eventually.ts"
import {
  ends,
  enqueue,
  historyOf,
  places,
  rescue,
  saidBy,
  startWorker,
  test,
  untilPlaces,
  untilSaid,
  workerOf
} from "../support/workers.ts"

describe("Workers", () => {
  test(
    "lose nothing when one that holds 200 attempts is killed: all run again, none is finished twice [LK-C2, LK-P1]",
    Effect.gen(function* () {
      const jobs = yield* enqueue("held", 200)
      const killed = yield* startWorker({ HOLDS: "yes" })
      yield* untilSaid(killed, "started", 200)
      const other = yield* startWorker()
      yield* killed.signal("SIGKILL")
      yield* killed.ended
      const { ready } = yield* rescue(killed)
      assert.strictEqual(ready, 200)
      yield* (yield* Wakeup).poke(["default"])
      yield* untilPlaces({ completed: 200 })
      assert.deepStrictEqual(yield* ends, { "rescued 1": 200, "completed 2": 200 })
      yield* untilSaid(other, "ended", 200)
      const again = yield* saidBy(other, "ended")
      assert.sameMembers(
        [...again],
        jobs.map((id) => `${id} 2`)
      )
    })
  )

  test(
    "refuse what a frozen worker says when it wakes, and it goes on under a new identity [LK-C8, LK-G1, LK-P1]",
    Effect.gen(function* () {
      yield* enqueue("held", 20)
      const frozen = yield* startWorker({ HOLDS: "yes", LANEKEEPER_HEARTBEAT: "9 seconds" })
      yield* untilSaid(frozen, "started", 20)
      const before = yield* workerOf(frozen)
      yield* frozen.signal("SIGSTOP")
      yield* rescue(frozen)
      const other = yield* startWorker()
      yield* untilPlaces({ completed: 20 })
      yield* untilSaid(other, "ended", 20)

      yield* frozen.signal("SIGUSR2") // its handlers end as soon as it wakes
      yield* frozen.signal("SIGCONT")
      yield* eventually(frozen.said, (said) => (said.match(/came too late and was refused/g) ?? []).length === 20)
      yield* (yield* Wakeup).pokeBeat
      yield* frozen.says("This worker was declared dead")
      yield* eventually(workerOf(frozen), ({ id }) => id > before.id)
      assert.deepStrictEqual(yield* ends, { "rescued 1": 20, "completed 2": 20 })

      yield* other.signal("SIGTERM")
      yield* other.ended
      yield* enqueue("noop")
      yield* (yield* Wakeup).poke(["default"])
      yield* untilPlaces({ completed: 21 })
    })
  )

  test(
    "undo what a handler wrote in the transaction of its job's end, when the job was another's by then [LK-G1, LK-G2]",
    Effect.gen(function* () {
      const sql = yield* PgClient
      yield* sql`CREATE TABLE transfer (job text, attempt int)`
      const [id] = yield* enqueue("transfer")
      const slow = yield* startWorker({ HOLDS: "yes", LANEKEEPER_HEARTBEAT: "9 seconds" })
      yield* untilSaid(slow, "started", 1)
      yield* rescue(slow)
      yield* startWorker()
      yield* untilPlaces({ completed: 1 })
      yield* slow.signal("SIGUSR2")
      yield* slow.says("came too late and was refused")
      assert.deepStrictEqual(yield* sql`SELECT * FROM transfer`, [{ job: id, attempt: 2 }])
      assert.deepStrictEqual(yield* ends, { "rescued 1": 1, "completed 2": 1 })
    })
  )

  test(
    "outlive a job that kills whoever runs it: it is dead, and its 99 neighbours complete [LK-C2]",
    Effect.gen(function* () {
      yield* enqueue("sleep", 49, { millis: 5 })
      const [poison] = yield* enqueue("poison")
      yield* enqueue("sleep", 50, { millis: 5 })
      const supervised = Effect.gen(function* () {
        const worker = yield* startWorker({ LANEKEEPER_CRASH_BUDGET: "2" })
        const { signal } = yield* worker.ended
        assert.strictEqual(signal, "SIGKILL")
        yield* rescue(worker, 2)
        return (yield* historyOf(poison!)).place
      })
      yield* Effect.repeat(supervised, { until: (place) => place === "dead" })
      yield* startWorker({ LANEKEEPER_CRASH_BUDGET: "2" })
      yield* untilPlaces({ completed: 99, dead: 1 })
      const { crashes, history } = yield* historyOf(poison!)
      assert.match(history.at(-1)!.reason!, /^crash budget spent/)
      assert.strictEqual(crashes, 3)
    })
  )

  test(
    "interrupt a job that somebody cancels [LK-G5]",
    Effect.gen(function* () {
      const [id] = yield* enqueue("held")
      const worker = yield* startWorker({ HOLDS: "yes" })
      yield* untilSaid(worker, "started", 1)
      assert.strictEqual(yield* (yield* Client).cancel(id!), "cancelling")
      yield* untilSaid(worker, "interrupted", 1)
      yield* untilPlaces({ cancelled: 1 })
    })
  )

  test(
    "give what does not end in time to a peer, in their own statements and uncounted, and end with 0 [LK-A11]",
    Effect.gen(function* () {
      const jobs = yield* enqueue("held", 100)
      const leaving = yield* startWorker({ HOLDS: "yes", LANEKEEPER_DRAIN: "300 millis" })
      yield* untilSaid(leaving, "started", 100)
      const peer = yield* startWorker()
      yield* leaving.signal("SIGTERM")
      const { code, stderr } = yield* leaving.ended
      assert.strictEqual(code, 0, stderr)
      yield* untilPlaces({ completed: 100 })
      assert.deepStrictEqual(yield* ends, { "released 1": 100, "completed 2": 100 })
      const { crashes, failures } = yield* historyOf(jobs[0]!)
      assert.deepStrictEqual([failures, crashes], [0, 0])
      yield* untilSaid(peer, "ended", 100)
    })
  )

  test(
    "let attempts end when they are told to stop, and do not wait for them when they are told twice [LK-A11]",
    Effect.gen(function* () {
      const [first] = yield* enqueue("held")
      const patient = yield* startWorker({ HOLDS: "yes", LANEKEEPER_DRAIN: "1 hour" })
      yield* untilSaid(patient, "started", 1)
      yield* patient.signal("SIGTERM")
      yield* patient.says("nothing more is claimed")
      yield* patient.signal("SIGUSR2")
      assert.strictEqual((yield* patient.ended).code, 0)
      assert.deepStrictEqual(yield* ends, { "completed 1": 1 })

      yield* enqueue("held")
      const hurried = yield* startWorker({ HOLDS: "yes", LANEKEEPER_DRAIN: "1 hour" })
      yield* untilSaid(hurried, "started", 1)
      yield* hurried.signal("SIGINT")
      yield* hurried.says("nothing more is claimed")
      const { code } = yield* Effect.raceFirst(
        hurried.ended,
        Effect.forever(Effect.andThen(Effect.sleep("100 millis"), hurried.signal("SIGINT")))
      )
      assert.strictEqual(code, 0)
      assert.lengthOf(yield* saidBy(hurried, "ended"), 0)
      assert.deepStrictEqual(yield* places, { completed: 1, ready: 1 })
      assert.strictEqual((yield* historyOf(first!)).place, "completed")
    })
  )

  test(
    "drain 2,000 jobs between four of them, each job once [LK-F1, LK-F4]",
    Effect.gen(function* () {
      const four = yield* Effect.all(
        Array.from({ length: 4 }, () => startWorker({ LANEKEEPER_CONCURRENCY: "10" })),
        { concurrency: 4 }
      )
      const jobs = yield* enqueue("noop", 2_000)
      yield* (yield* Wakeup).poke(["default"])
      yield* untilPlaces({ completed: 2_000 })
      const said = Effect.map(
        Effect.forEach(four, (worker) => saidBy(worker, "started")),
        (each) => each.flat()
      )
      const ran = yield* eventually(said, (all) => all.length >= jobs.length)
      assert.sameMembers(
        ran,
        jobs.map((id) => `${id} 1`)
      )
      assert.deepStrictEqual(yield* ends, { "completed 1": 2_000 })
    })
  )
})
