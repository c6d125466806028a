/** A job that comes back every second for days is shown, moved and buried like any other. */
import { PgClient } from "@effect/sql-pg/PgClient"
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { slotOf } from "../../../src/domain/Job.ts"
import { layerPostgres } from "../../../src/store/postgres/index.ts"
import { longestHistory } from "../../../src/store/postgres/migrations/jobs/bury.ts"
import { Store } from "../../../src/store/Store.ts"
import { TestDatabase } from "../../support/TestDatabase.ts"
import { died, endOf, job } from "../suiteWorld.ts"

const attempts = longestHistory + 100

it.live("The history shown of a job, and buried with it, is that of its last attempts [LK-G6]", () =>
  Effect.gen(function* () {
    const sql = yield* PgClient
    const store = yield* Store
    const worker = yield* store.register("worker")
    const [id] = yield* store.enqueue([job()])
    const [claimed] = (yield* store.claim({ worker, kinds: ["mail"], queues: [{ queue: "post", limit: 1 }] })).jobs
    yield* sql`INSERT INTO lanekeeper.attempt_end (job, worker, attempt, slot, state)
      SELECT lower(jobs), worker, n, ${slotOf(id!)}, 'snoozed' FROM lanekeeper.lease CROSS JOIN generate_series(1, ${attempts - 1}) AS n`
    yield* sql`UPDATE lanekeeper.lease SET attempt = ${attempts}`
    const shown = Effect.map(store.show(id!), (view) => Option.getOrThrow(view).history)
    const running = yield* shown
    assert.deepStrictEqual([running.length, running.at(-1)?.attempt], [longestHistory, attempts - 1])

    yield* store.finish(worker, [endOf({ ...claimed!, attempt: attempts }, died)])
    const dead = yield* shown
    assert.deepStrictEqual([dead.length, dead.at(-1)?.attempt], [longestHistory, attempts])
  }).pipe(Effect.scoped, Effect.provide(layerPostgres().pipe(Layer.provideMerge(TestDatabase.layer))))
)
