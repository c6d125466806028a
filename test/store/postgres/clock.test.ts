/** The server's clock is set back, or a standby whose clock is behind takes over: nothing waits until it has caught up. */
import { PgClient } from "@effect/sql-pg/PgClient"
import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { tick } from "../../../src/lanes/tick.ts"
import { layerPostgres } from "../../../src/store/postgres/index.ts"
import { Store } from "../../../src/store/Store.ts"
import { Wakeup } from "../../../src/Wakeup.ts"
import { TestDatabase } from "../../support/TestDatabase.ts"
import { quietly } from "../../support/quietly.ts"
import { elapse } from "../suitePostgres.ts"
import { makeWorld } from "../suiteWorld.ts"

const layer = Layer.merge(layerPostgres(), Wakeup.layerLocal).pipe(Layer.provideMerge(TestDatabase.layer))
const staleAfter = Duration.seconds(30)

/** All that was written with a time is of an hour to come. */
const setBack = Effect.gen(function* () {
  const sql = yield* PgClient
  yield* sql`UPDATE lanekeeper.worker SET beat_at = beat_at + interval '1 hour'`
  yield* sql`UPDATE lanekeeper.watch SET since = since + interval '1 hour', looked_at = looked_at + interval '1 hour'`
  yield* sql`UPDATE lanekeeper.lane_run SET started_at = started_at + interval '1 hour'`
})

describe("When the server's clock is set back by an hour", () => {
  it.live("a worker that vanished is declared dead within the threshold, and one that beats is not [LK-C3]", () =>
    Effect.gen(function* () {
      const context = yield* Effect.context<PgClient>()
      const pass = (time: Duration.Input) => Effect.provideContext(elapse(time), context)
      const { running, store } = makeWorld(yield* Store, pass)
      yield* store.watch({ staleAfter })
      const silent = yield* running()
      const beating = yield* running()
      yield* setBack
      for (let looks = 0; looks < 3; looks++) {
        assert.deepStrictEqual(yield* store.watch({ staleAfter }), [])
        yield* store.beat(beating.worker)
        yield* pass("11 seconds")
      }
      const stale = yield* store.watch({ staleAfter })
      assert.deepStrictEqual(
        stale.map(({ id }) => id),
        [silent.worker]
      )
    }).pipe(Effect.scoped, Effect.provide(layer))
  )

  it.live("lanes that ran before are due, and their next runs are kept [LK-A5] [LK-B8]", () =>
    Effect.gen(function* () {
      const store = yield* Store
      yield* tick()
      yield* setBack
      const { ran } = yield* tick()
      assert.include(
        ran.map(({ lane }) => lane),
        "promote"
      )
      const promote = (yield* store.laneRuns).find(({ lane }) => lane === "promote")
      assert.isFalse(Duration.isNegative(promote!.age))
    }).pipe(quietly, Effect.scoped, Effect.provide(layer))
  )
})
