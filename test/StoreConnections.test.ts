/** What connections of our own do whatever the app's are told. */
import * as PgClient from "@effect/sql-pg/PgClient"
import { assert, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { layerPostgres } from "../src/store/postgres/index.ts"
import { Store } from "../src/store/Store.ts"
import { StoreConnections } from "../src/StoreConnections.ts"
import { job } from "./store/suiteWorld.ts"
import { TestDatabase } from "./support/TestDatabase.ts"

const layer = Layer.merge(layerPostgres(), StoreConnections.layerPostgres()).pipe(
  Layer.provideMerge(TestDatabase.layer)
)

it.live("A job that is larger than messages are by default is claimed, and those beside it [LK-F4]", () =>
  Effect.gen(function* () {
    const sql = yield* PgClient.PgClient
    const store = yield* Store
    const budget = { connections: 1, statementTimeout: Duration.seconds(20), lockTimeout: Duration.seconds(5) }
    const own = yield* (yield* StoreConnections).open({ name: "worker", ...budget })
    const [large, small] = yield* store.enqueue([job(), job()])
    yield* sql`UPDATE lanekeeper.job SET details = jsonb_build_object('x', repeat('x', 17000000))
      WHERE id = (SELECT min(id) FROM lanekeeper.job)`
    const worker = yield* store.register("worker")
    const { jobs } = yield* own.claim({ worker, kinds: ["mail"], queues: [{ queue: "post", limit: 10 }] })
    assert.deepStrictEqual(
      jobs.map(({ id }) => id),
      [large, small]
    )
  }).pipe(Effect.scoped, Effect.provide(layer))
)
