/** A cancel from the command line reaches a job that runs in another process, long before that one would beat by itself. */
import { assert, describe } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { Store } from "../../src/store/Store.ts"
import { eventually } from "../support/eventually.ts"
import { main, run } from "../support/processes.ts"
import { TestDatabase } from "../support/TestDatabase.ts"
import { enqueue, startWorker, test, untilSaid } from "../support/workers.ts"

describe("lanekeeper jobs cancel", () => {
  test(
    "interrupts a job where it runs, without waiting for a heartbeat [LK-G5] [LK-K1]",
    Effect.gen(function* () {
      const store = yield* Store
      const { url } = yield* TestDatabase
      const worker = yield* startWorker({
        HOLDS: "1",
        LANEKEEPER_HEARTBEAT: "1 hour",
        LANEKEEPER_STALE_AFTER: "9 hours"
      })
      const [id] = yield* enqueue("held")
      yield* untilSaid(worker, "started", 1)
      const { code, stderr, stdout } = yield* run(
        process.execPath,
        [main, "jobs", "cancel", id!, "--reason", "changed our minds"],
        { env: { DATABASE_URL: url } }
      )
      assert.deepStrictEqual([code, stdout], [0, `${id} is being cancelled: its worker interrupts it\n`], stderr)
      yield* untilSaid(worker, "interrupted", 1)
      yield* eventually(
        store.show(id!),
        Option.exists(({ place }) => place === "cancelled")
      )
      const view = Option.getOrThrow(yield* store.show(id!))
      assert.strictEqual(view.history.at(-1)?.reason, "changed our minds")
    })
  )
})
