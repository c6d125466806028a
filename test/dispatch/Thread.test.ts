/** Jobs that compute without pause, in threads, on the real clock: a thread does not wait for the TestClock. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { Client } from "../../src/Client.ts"
import type { JobId, Place } from "../../src/domain/Job.ts"
import { layerMemory } from "../../src/roles/ground.ts"
import { layerWorker } from "../../src/roles/worker.ts"
import { Store } from "../../src/store/Store.ts"
import * as Thread from "../../src/Thread.ts"
import { eventually } from "../support/eventually.ts"
import { Lines } from "../lanes/world.ts"
import { Compute } from "./threads/Compute.ts"

const computing = (file: string, threads = 2) =>
  layerWorker({ heartbeat: "100 millis", staleAfter: "5 seconds", pollInterval: "100 millis", drain: 0 }).pipe(
    Layer.provide(Thread.layer(Compute, new URL(file, import.meta.url), { threads })),
    Layer.provideMerge(Client.layer),
    Layer.provideMerge(Layer.fresh(layerMemory))
  )

const test = (
  sentence: string,
  body: Effect.Effect<void, unknown, Client | Store>,
  file = "./threads/compute.thread.ts"
) => it.live(sentence, () => body.pipe(Effect.provide(computing(file).pipe(Layer.provideMerge(new Lines().layer)))))

const becomes = Effect.fnUntraced(function* (id: JobId, place: Place) {
  const store = yield* Store
  return Option.getOrThrow(
    yield* eventually(
      store.show(id),
      Option.exists((view) => view.place === place)
    )
  )
})

describe("A job in a thread", () => {
  test(
    "ends as its handler does: with an output, a failure, a defect, a snooze or a cancel [LK-F7]",
    Effect.gen(function* () {
      const enqueue = (how: (typeof Compute)["payload"]["Type"]["how"]) =>
        Effect.map(Compute.enqueue({ how, n: 7n }, { maxAttempts: 1 }), ({ id }) => id)
      const square = yield* enqueue("square")
      assert.strictEqual(yield* Compute.await(square), 49n)
      const failed = yield* becomes(yield* enqueue("fail"), "dead")
      assert.deepInclude(failed.history[0]!.error, { _tag: "TooMuch", n: 7 })
      const threw = yield* becomes(yield* enqueue("throw"), "dead")
      assert.deepInclude(threw.history[0]!.error, { name: "RangeError", message: "thrown in the thread" })
      yield* becomes(yield* enqueue("snooze"), "scheduled")
      const cancelled = yield* becomes(yield* enqueue("cancel"), "cancelled")
      assert.strictEqual(cancelled.history[0]!.reason, "not worth it")
      const gone = yield* becomes(yield* enqueue("exit"), "dead")
      assert.include(gone.history[0]!.reason!, "The thread ended before its job did: it exited with 3")
      assert.strictEqual(yield* Compute.await(yield* enqueue("square")), 49n, "there is another thread")
    })
  )

  test(
    "reports its progress, leaves checkpoints and logs as its attempt [LK-F7, LK-G6]",
    Effect.gen(function* () {
      const { id } = yield* Compute.enqueue({ how: "report", n: 1n })
      assert.strictEqual(yield* Compute.await(id), 1n)
      const notes = new Map((yield* (yield* Store).recall(id)).map(({ name, value }) => [name, value] as const))
      assert.deepStrictEqual(notes.get("progress"), { percent: 50, message: "half way" })
      assert.deepStrictEqual(notes.get("checkpoint"), { at: 7 })
      assert.include((notes.get("log:1") as ReadonlyArray<{ message: string }>)[0]!.message, `computed ${id}`)
    })
  )

  test(
    "that spins misses no heartbeat of its worker, keeps no other from running, and can be cancelled [LK-F7, LK-G5]",
    Effect.gen(function* () {
      const client = yield* Client
      const store = yield* Store
      const { id } = yield* Compute.enqueue({ how: "spin", n: 1n })
      yield* becomes(id, "running")
      const before = (yield* store.workers)[0]!.beats
      yield* eventually(store.workers, ([worker]) => worker!.beats >= before + 5)
      const { id: other } = yield* Compute.enqueue({ how: "square", n: 3n })
      assert.strictEqual(yield* Compute.await(other), 9n)
      yield* client.cancel(id, "it spins")
      const { history } = yield* becomes(id, "cancelled")
      assert.strictEqual(history.at(-1)!.reason, "it spins")
    })
  )

  test(
    "says that its module exports no handler [LK-F7]",
    Effect.gen(function* () {
      const { id } = yield* Compute.enqueue({ how: "square", n: 1n }, { maxAttempts: 1 })
      const { history } = yield* becomes(id, "dead")
      assert.include(
        history[0]!.reason!,
        "exports no handler by default: write `export default Thread.handler(kind, …)`"
      )
    }),
    "./threads/Compute.ts"
  )
})
