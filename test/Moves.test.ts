/** What an operator can do to a job and to a queue, over both stores, and who is woken for it. */
import { assert, describe, it, layer } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as PubSub from "effect/PubSub"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import { Client } from "../src/Client.ts"
import type { Ending } from "../src/domain/Attempt.ts"
import type { JobId, Place } from "../src/domain/Job.ts"
import * as Job from "../src/Job.ts"
import * as Lanekeeper from "../src/Lanekeeper.ts"
import { Store } from "../src/store/Store.ts"
import { type Poke, Wakeup } from "../src/Wakeup.ts"
import { TestDatabase } from "./support/TestDatabase.ts"

const Note = Job.make("note", { payload: Schema.Finite })

const missing = "3-999999999" as JobId

const isAt = Effect.fnUntraced(function* (id: JobId, place: Place) {
  assert.deepStrictEqual(yield* (yield* Store).place(id), Option.some(place))
})

const claimFrom = Effect.fnUntraced(function* (queue: string) {
  const store = yield* Store
  const worker = yield* store.register("worker")
  const [claimed] = (yield* store.claim({ worker, kinds: ["note"], queues: [{ queue, limit: 1 }] })).jobs
  const { attempt, id, lease } = claimed!
  const end = (ending: Ending) => store.finish(worker, [{ id, lease, attempt, ran: Duration.zero, ending }])
  return { id, worker, end }
})

const dead = Effect.fnUntraced(function* (queue: string) {
  yield* Note.enqueue(1, { queue })
  const { end, id } = yield* claimFrom(queue)
  yield* end({ _tag: "Died", reason: "it was no use" })
  return id
})

/** What is heard of one kind of poke, up to one that is asked for last. */
const heard = Effect.flatMap(Wakeup, (wakeup) =>
  Effect.map(wakeup.pokes, (pokes) =>
    Effect.gen(function* () {
      yield* wakeup.poke(["the end"])
      const all: Array<Poke> = []
      while (true) {
        const poke = yield* PubSub.take(pokes)
        if (typeof poke === "object" && poke.queue === "the end") return all
        all.push(poke)
      }
    })
  )
)

type Test = (sentence: string, body: Effect.Effect<void, unknown, Client | Store | Wakeup | Scope.Scope>) => void

const suite = (test: Test) => {
  test(
    "cancels what waits to run, and asks the workers for a beat where it runs [LK-G5]",
    Effect.gen(function* () {
      const client = yield* Client
      const pokes = yield* heard
      const { id: waiting } = yield* Note.enqueue(1, { queue: "cancel", delay: "1 hour" })
      assert.strictEqual(yield* client.cancel(waiting), "cancelled")
      yield* isAt(waiting, "cancelled")
      assert.notInclude(yield* pokes, "beat")
      yield* Note.enqueue(2, { queue: "cancel" })
      const { id, worker } = yield* claimFrom("cancel")
      const again = yield* heard
      assert.strictEqual(yield* client.cancel(id, "changed our minds"), "cancelling")
      assert.include(yield* again, "beat")
      assert.deepStrictEqual((yield* (yield* Store).beat(worker)).cancelling, [id])
      const refused = yield* Effect.flip(client.cancel(waiting))
      assert.strictEqual(refused.message, `The job ${waiting} is cancelled and was not cancelled: it is over`)
    })
  )

  test(
    "asks for a beat when a job that runs gave way to another one [LK-E5]",
    Effect.gen(function* () {
      const unique = { key: "one", onConflict: "replace" } as const
      yield* Note.enqueue(1, { queue: "replace", unique })
      yield* claimFrom("replace")
      const pokes = yield* heard
      assert.strictEqual((yield* Note.enqueue(2, { queue: "replace", unique })).outcome, "replaced")
      assert.include(yield* pokes, "beat")
    })
  )

  test(
    "tries a scheduled job and a dead one now, and wakes its queue [LK-K1]",
    Effect.gen(function* () {
      const client = yield* Client
      const died = yield* dead("retry")
      const { id: scheduled } = yield* Note.enqueue(1, { queue: "retry-later", delay: "1 hour" })
      const pokes = yield* heard
      yield* client.retry(died)
      yield* client.retry(scheduled)
      yield* isAt(died, "ready")
      yield* isAt(scheduled, "ready")
      assert.deepInclude(yield* pokes, { queue: "retry" })
      const refused = yield* Effect.flip(client.retry(died))
      assert.strictEqual(
        refused.message,
        `The job ${died} is ready and was not tried now: only a scheduled or a dead job can`
      )
    })
  )

  test(
    "gives a ready job another queue and priority, sets it aside, and purges it when it is dead [LK-K1]",
    Effect.gen(function* () {
      const client = yield* Client
      const { id } = yield* Note.enqueue(1, { queue: "old" })
      const pokes = yield* heard
      yield* client.reassign(id, { queue: "new", priority: 1 })
      assert.deepInclude(Option.getOrThrow(yield* client.get(id)), { queue: "new", priority: 1 })
      assert.deepInclude(yield* pokes, { queue: "new" })
      assert.strictEqual((yield* Effect.flip(client.purge(id)))._tag, "MoveRefused")
      assert.match((yield* Effect.flip(client.reassign(id, { queue: " " }))).message, /^Nothing was changed: the queue/)
      assert.match((yield* Effect.flip(client.reassign(id, { priority: 12 }))).message, /the priority/)
      yield* client.setAside(id, "nobody wants it")
      yield* isAt(id, "dead")
      assert.strictEqual((yield* Effect.flip(client.setAside(id, "again")))._tag, "MoveRefused")
      assert.strictEqual((yield* Effect.flip(client.reassign(id, { priority: 2 })))._tag, "MoveRefused")
      yield* client.purge(id)
      assert.deepStrictEqual(yield* client.get(id), Option.none())
    })
  )

  test(
    "says of every move that there is no such job",
    Effect.gen(function* () {
      const client = yield* Client
      const moves: ReadonlyArray<Effect.Effect<unknown, { readonly _tag: string }>> = [
        client.cancel(missing),
        client.retry(missing),
        client.reassign(missing, { priority: 1 }),
        client.setAside(missing, "no"),
        client.purge(missing)
      ]
      for (const move of moves) assert.strictEqual((yield* Effect.flip(move))._tag, "JobNotFound")
    })
  )

  test(
    "pauses a queue, and wakes who serves it when it is resumed [LK-I1]",
    Effect.gen(function* () {
      const client = yield* Client
      const store = yield* Store
      yield* client.pauseQueue("held")
      assert.include(yield* store.pausedQueues, "held")
      const pokes = yield* heard
      yield* client.resumeQueue("held")
      assert.notInclude(yield* store.pausedQueues, "held")
      assert.deepInclude(yield* pokes, { queue: "held" })
      assert.strictEqual((yield* Effect.flip(client.pauseQueue("")))._tag, "InvalidTarget")
    })
  )
}

describe("Moves in memory", () => {
  const ground = Lanekeeper.layerClient.pipe(Layer.provideMerge(Lanekeeper.layerMemory))
  suite((sentence, body) => it.effect(sentence, () => Effect.provide(Effect.scoped(body), Layer.fresh(ground))))
})

const ground = Lanekeeper.layerClient.pipe(
  Layer.provideMerge(Lanekeeper.layerPostgres()),
  Layer.provideMerge(TestDatabase.layer)
)
layer(ground, { excludeTestServices: true })("Moves in PostgreSQL", (it) => {
  suite((sentence, body) => it.effect(sentence, () => body))
})
