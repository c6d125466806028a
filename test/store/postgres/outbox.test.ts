/** What a transaction makes of events: they share its fate, and one that commits late is not missed. */
import * as PgClient from "@effect/sql-pg/PgClient"
import { assert, layer } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Queue from "effect/Queue"
import * as Redacted from "effect/Redacted"
import { layerPostgres } from "../../../src/store/postgres/index.ts"
import { defaultName, wakeChannel } from "../../../src/store/postgres/SchemaName.ts"
import { Store } from "../../../src/store/Store.ts"
import { TestDatabase } from "../../support/TestDatabase.ts"
import { empty, layerSuite } from "../suitePostgres.ts"
import { hours, makeWorld } from "../suiteWorld.ts"

const tending = { limit: 100, keep: hours(24), sink: true }
const followUps = { died: { kind: "alarm", queue: "alarms", priority: 5 } }

layer(layerSuite, { excludeTestServices: true })("Events in PostgreSQL", (it) => {
  const world = Effect.map(empty, (store) => makeWorld(store, () => Effect.die("no time passes here")))

  it.effect("are part of the transaction that made the move, and so is the follow-up [LK-C7]", () =>
    Effect.gen(function* () {
      const { enqueue, isAt, store } = yield* world
      const sql = yield* PgClient.PgClient
      const [id] = yield* enqueue({ details: { followUps } })
      const undone = sql.withTransaction(Effect.andThen(store.setAside(id!, "odd"), Effect.fail("undone")))
      assert.strictEqual(yield* Effect.flip(undone), "undone")
      yield* isAt("ready", id!)
      assert.strictEqual((yield* store.tendEvents(tending)).numbered, 0)
      assert.deepStrictEqual(yield* store.page({ place: "ready", queue: "alarms", limit: 9 }), [])
    })
  )

  it.effect("are not missed by a reader who had read later ones when they committed [LK-D8]", () =>
    Effect.gen(function* () {
      const { enqueue, store } = yield* world
      const [late] = yield* enqueue({})
      const [early] = yield* enqueue({})
      const sql = yield* PgClient.PgClient
      const { url } = yield* TestDatabase
      const client = PgClient.layer({ url: Redacted.make(url) })
      const other = Context.get(yield* Layer.build(layerPostgres().pipe(Layer.provide(client))), Store)
      yield* sql.withTransaction(
        Effect.gen(function* () {
          yield* store.setAside(late!, "told first, seen last")
          yield* other.setAside(early!, "told last, seen first")
          assert.strictEqual((yield* other.tendEvents(tending)).numbered, 1)
        })
      )
      const first = yield* store.events({ after: 0n, limit: 9 })
      assert.deepStrictEqual(
        first.map(({ job }) => job),
        [early]
      )
      yield* store.tendEvents(tending)
      const next = yield* store.events({ after: first[0]!.position, limit: 9 })
      assert.deepStrictEqual(
        next.map(({ job }) => job),
        [late]
      )
      assert.isTrue(next[0]!.id < first[0]!.id)
    })
  )

  it.effect("wake the queue of a follow-up, with the commit [LK-C7]", () =>
    Effect.gen(function* () {
      const { enqueue, store } = yield* world
      const sql = yield* PgClient.PgClient
      const told = yield* sql.listen(wakeChannel(defaultName))
      const [id] = yield* enqueue({ details: { followUps } })
      yield* store.setAside(id!, "odd")
      assert.strictEqual((yield* Queue.take(told)).payload, "alarms")
    }).pipe(Effect.scoped)
  )
})
