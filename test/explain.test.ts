/** Why a job is not running: each cause made for real, over both stores. */
import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import { Client } from "../src/Client.ts"
import type { Ending } from "../src/domain/Attempt.ts"
import type { JobId } from "../src/domain/Job.ts"
import { explain } from "../src/explain.ts"
import * as Job from "../src/Job.ts"
import * as Lanekeeper from "../src/Lanekeeper.ts"
import { type LaneRun, Store } from "../src/store/Store.ts"
import { TestDatabase } from "./support/TestDatabase.ts"

const Note = Job.make("note", { payload: Schema.Finite })

const causes = Effect.fnUntraced(function* (id: JobId) {
  const { reasons } = yield* explain(id)
  return reasons.map(({ cause, remedy }) => (remedy === null ? cause : `${cause} → ${remedy}`))
})

const ran = (lane: string, age: Duration.Input, error: string | null = null): LaneRun => ({
  lane,
  age: Duration.fromInputUnsafe(age),
  took: Duration.zero,
  rows: 0,
  failures: error === null ? 0 : 1,
  error
})

/** Somebody maintains, as far as a reader can tell. */
const maintained = Effect.flatMap(Store, (store) =>
  store.recordRuns(["promote", "rescue-stale", "rescue-callback"].map((lane) => ran(lane, "1 second")))
)

const run = Effect.fnUntraced(function* (queue: string, ending?: Ending) {
  const store = yield* Store
  const worker = yield* store.register(`runner of ${queue}`, { kinds: ["note"], queues: [queue] })
  const [claimed] = (yield* store.claim({ worker, kinds: ["note"], queues: [{ queue, limit: 1 }] })).jobs
  const { attempt, id, lease } = claimed!
  if (ending !== undefined) yield* store.finish(worker, [{ id, lease, attempt, ran: Duration.zero, ending }])
  return worker
})

type Ground = Client | Store | Scope.Scope
type Test = (sentence: string, body: Effect.Effect<void, unknown, Ground>) => void

const suite = (test: Test) => {
  test(
    "a ready job: a paused queue, no worker, none for its queue, none for its kind, or its turn to come [LK-I6]",
    Effect.gen(function* () {
      const client = yield* Client
      const store = yield* Store
      const { id } = yield* Note.enqueue(1, { queue: "post" })
      assert.deepStrictEqual(yield* causes(id), ["No worker is alive: none is registered → start a worker"])
      yield* store.declareDead(yield* store.register("gone"), 0)
      assert.match((yield* causes(id))[0]!, /^No worker is alive: 1 registered, all of them silent/)
      yield* store.register("elsewhere", { kinds: ["note"], queues: ["bulk"] })
      assert.deepStrictEqual(yield* causes(id), [
        `No live worker serves its queue post → add post to the queues of a worker, or run lanekeeper jobs move ${id} --queue …`
      ])
      const other = yield* store.register("another kind", { kinds: ["mail"], queues: ["post"] })
      assert.match((yield* causes(id))[0]!, /^The live workers that handle its kind note do not serve its queue post →/)
      const { id: unknown } = yield* Job.make("unknown", { payload: Schema.Finite }).enqueue(1, { queue: "post" })
      assert.deepStrictEqual(yield* causes(unknown), [
        "No live worker has a handler for its kind unknown → deploy a worker with a handler for unknown"
      ])
      yield* store.forget(other)
      yield* store.register("right", { kinds: ["note"], queues: ["post"] })
      assert.match((yield* causes(id))[0]!, /^It is ready and 2 live workers can take it: others of its queue go first/)
      yield* client.pauseQueue("post")
      assert.deepStrictEqual(yield* causes(id), ["Its queue post is paused → run lanekeeper queues resume post"])
    })
  )

  test(
    "a scheduled job: its time, why it has one, and whether anybody will promote it [LK-I6] [LK-D10]",
    Effect.gen(function* () {
      const store = yield* Store
      const { id } = yield* Note.enqueue(1, { runAt: "2099-01-02T03:04:05Z" })
      const [when, nobody] = yield* causes(id)
      assert.strictEqual(
        when,
        `It is scheduled for 2099-01-02T03:04:05.000Z, as it was enqueued → to run it now, run lanekeeper jobs retry ${id}`
      )
      assert.strictEqual(
        nobody,
        "No maintenance runs (no lane ever ran): what is due is not made ready → start a worker or lanekeeper maintenance"
      )
      yield* store.recordRuns([ran("promote", "5 minutes"), ran("rescue-stale", "2 minutes")])
      assert.match((yield* causes(id))[1]!, /^No maintenance runs \(the last lane ran 2m ago\)/)
      yield* store.recordRuns([ran("rescue-stale", "2 seconds")])
      assert.match((yield* causes(id))[1]!, /^The lane promote does not run although others do/)
      yield* store.recordRuns([ran("promote", "2 seconds", "permission denied")])
      assert.match((yield* causes(id))[1]!, /^The lane promote fails \(permission denied\): what is due/)
      yield* maintained
      assert.deepStrictEqual(yield* causes(id), [when])
      const { id: failed } = yield* Note.enqueue(1, { queue: "failing" })
      yield* run("failing", { _tag: "Failed", error: { message: "no route" }, retryIn: Duration.hours(1) })
      assert.match((yield* causes(failed))[0]!, /after attempt 1 failed \(no route\)/)
    })
  )

  test(
    "a running job: who runs it, and that its worker has vanished [LK-I6]",
    Effect.gen(function* () {
      const store = yield* Store
      yield* maintained
      const { id } = yield* Note.enqueue(1, { queue: "run" })
      const worker = yield* run("run")
      assert.deepStrictEqual(yield* causes(id), ["It is running on runner of run, in attempt 1"])
      yield* store.declareDead(worker, 0)
      assert.match(
        (yield* causes(id))[0]!,
        /^runner of run, which runs it, has been silent for .* → nothing: it is rescued/
      )
    })
  )

  test(
    "a waiting job, and one that is over [LK-I6]",
    Effect.gen(function* () {
      yield* maintained
      const { id } = yield* Note.enqueue(1, { queue: "wait" })
      yield* run("wait", { _tag: "Parked", token: "t", expiresIn: Duration.hours(1), onExpiry: "retry" })
      assert.match((yield* causes(id))[0]!, /^It waits for somebody outside to resume it until \d{4}-/)
      const { id: died } = yield* Note.enqueue(1, { queue: "die" })
      yield* run("die", { _tag: "Died", reason: "no such address" })
      assert.deepStrictEqual(yield* causes(died), [
        `It is dead: no such address → mend the cause, then run lanekeeper dead redrive ${died}`
      ])
      const { id: done } = yield* Note.enqueue(1, { queue: "do" })
      yield* run("do", { _tag: "Completed" })
      assert.deepStrictEqual(yield* causes(done), ["It is completed: there is nothing left to run"])
      const { id: cancelled } = yield* Note.enqueue(1, { delay: "1 hour" })
      yield* (yield* Client).cancel(cancelled, "changed our minds")
      assert.match((yield* causes(cancelled))[0]!, /^It was cancelled: changed our minds/)
      assert.strictEqual((yield* Effect.flip(explain("3-99" as JobId)))._tag, "JobNotFound")
    })
  )
}

describe("Explaining in memory", () => {
  const ground = Lanekeeper.layerClient.pipe(Layer.provideMerge(Lanekeeper.layerMemory))
  suite((sentence, body) => it.effect(sentence, () => Effect.provide(Effect.scoped(body), Layer.fresh(ground))))
})

const ground = Lanekeeper.layerClient.pipe(
  Layer.provideMerge(Lanekeeper.layerPostgres()),
  Layer.provideMerge(TestDatabase.layer)
)

describe("Explaining in PostgreSQL", () => {
  suite((sentence, body) => it.live(sentence, () => body.pipe(Effect.scoped, Effect.provide(ground))))
})
