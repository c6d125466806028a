/** A poke reaches who shares the store, after the commit and not without it. */
import * as PgClientModule from "@effect/sql-pg/PgClient"
import { assert, describe, it, layer } from "@effect/vitest"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as PubSub from "effect/PubSub"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Job from "../src/Job.ts"
import * as Lanekeeper from "../src/Lanekeeper.ts"
import * as Migrations from "../src/store/postgres/Migrations.ts"
import { SchemaName } from "../src/store/postgres/SchemaName.ts"
import { Wakeup } from "../src/Wakeup.ts"
import { TestDatabase } from "./support/TestDatabase.ts"

const Note = Job.make("note", { payload: Schema.Finite })

/** The next queue that was poked. What was lost while the listener connected is told by "any". */
const nextQueue = (pokes: PubSub.Subscription<unknown>): Effect.Effect<string> =>
  Effect.flatMap(PubSub.take(pokes), (poke) =>
    typeof poke === "object" && poke !== null && "queue" in poke ? Effect.succeed(String(poke.queue)) : nextQueue(pokes)
  )

const listening = (pokes: PubSub.Subscription<unknown>) =>
  Effect.flatMap(PubSub.take(pokes), (poke) => Effect.sync(() => assert.strictEqual(poke, "any")))

describe("Wakeup in memory", () => {
  it.effect("asks workers for a beat [LK-G5]", () =>
    Effect.gen(function* () {
      const wakeup = yield* Wakeup
      const pokes = yield* wakeup.pokes
      yield* wakeup.pokeBeat
      assert.strictEqual(yield* PubSub.take(pokes), "beat")
    }).pipe(Effect.provide(Wakeup.layerLocal))
  )

  it.effect("wakes who shares the store when a job is ready, and nobody for one that is not", () =>
    Effect.gen(function* () {
      const pokes = yield* (yield* Wakeup).pokes
      yield* Note.enqueue(1, { queue: "later", delay: "1 hour" })
      yield* Note.enqueueMany([1, 2, 3], { queue: "now" })
      yield* Note.enqueue(1, { queue: "past", runAt: "1970-01-01T00:00:00Z" })
      yield* Note.enqueue(1, { queue: "zero", delay: 0 })
      const heard = yield* Effect.forEach([1, 2, 3], () => nextQueue(pokes))
      assert.deepStrictEqual(heard, ["now", "past", "zero"])
    }).pipe(Effect.provide(Lanekeeper.layerClient.pipe(Layer.provideMerge(Lanekeeper.layerMemory))))
  )

  it.effect("keeps two stores of one process apart [LK-F9]", () =>
    Effect.gen(function* () {
      const build = Layer.build(Layer.fresh(Lanekeeper.layerClient.pipe(Layer.provideMerge(Lanekeeper.layerMemory))))
      const [one, two] = [yield* build, yield* build]
      const pokes = yield* Context.get(two, Wakeup).pokes
      yield* Effect.provideContext(Note.enqueue(1, { queue: "one" }), one)
      yield* Effect.provideContext(Note.enqueue(1, { queue: "two" }), two)
      assert.strictEqual(yield* nextQueue(pokes), "two")
    })
  )
})

/** Another process, as far as the database can tell: a pool and a listener of its own. */
const another = Effect.fnUntraced(function* (schema?: string) {
  const { url } = yield* TestDatabase
  const pool = PgClientModule.layer({ url: Redacted.make(url), maxConnections: 3 })
  return yield* Layer.build(
    Layer.fresh(
      Lanekeeper.layerClient.pipe(Layer.provideMerge(Lanekeeper.layerPostgres({ schema })), Layer.provideMerge(pool))
    )
  )
})

layer(TestDatabase.layer, { excludeTestServices: true })("Wakeup in PostgreSQL", (it) => {
  const test = (
    sentence: string,
    body: () => Effect.Effect<void, unknown, TestDatabase | PgClientModule.PgClient | Scope.Scope>
  ) => it.effect(sentence, body)

  test("wakes other processes when the transaction has committed, and for nothing that was rolled back [LK-E1]", () =>
    Effect.gen(function* () {
      const [producer, worker] = [yield* another(), yield* another()]
      const pokes = yield* Context.get(worker, Wakeup).pokes
      yield* listening(pokes)
      yield* Effect.gen(function* () {
        const sql = yield* PgClientModule.PgClient
        const fail = (queue: string) =>
          Effect.flip(sql.withTransaction(Effect.andThen(Note.enqueue(1, { queue }), Effect.fail("no"))))
        yield* fail("rolled-back")
        yield* sql.withTransaction(Effect.andThen(fail("savepoint"), Note.enqueue(1, { queue: "committed" })))
      }).pipe(Effect.provideContext(producer))
      assert.strictEqual(yield* nextQueue(pokes), "committed")
    }))

  test("listens again when its connection is lost, and says that it may have missed something [LK-F3]", () =>
    Effect.gen(function* () {
      const [producer, worker] = [yield* another(), yield* another()]
      const pokes = yield* Context.get(worker, Wakeup).pokes
      yield* listening(pokes)
      const killed = yield* Context.get(producer, PgClientModule.PgClient)`
        SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE application_name = 'lanekeeper listen' AND datname = current_database()`
      assert.isAtLeast(killed.length, 1)
      yield* listening(pokes)
      yield* Effect.provideContext(Note.enqueue(1, { queue: "after" }), producer)
      assert.strictEqual(yield* nextQueue(pokes), "after")
    }))

  test("asks the workers of other processes for a beat, and names no queue for it [LK-G5]", () =>
    Effect.gen(function* () {
      const [operator, worker] = [yield* another(), yield* another()]
      const pokes = yield* Context.get(worker, Wakeup).pokes
      yield* listening(pokes)
      yield* Context.get(operator, Wakeup).pokeBeat
      assert.strictEqual(yield* PubSub.take(pokes), "beat")
    }))

  test("keeps two schemas of one database apart [LK-B12] [LK-F9]", () =>
    Effect.gen(function* () {
      const schema = SchemaName.make("another_schema")
      yield* Migrations.migrate({ schema })
      const [one, two] = [yield* another(), yield* another(schema)]
      const pokes = yield* Context.get(two, Wakeup).pokes
      yield* listening(pokes)
      yield* Effect.provideContext(Note.enqueue(1, { queue: "one" }), one)
      yield* Effect.provideContext(Note.enqueue(1, { queue: "two" }), two)
      assert.strictEqual(yield* nextQueue(pokes), "two")
    }))

  test("tells other processes even when this one ends at once", () =>
    Effect.gen(function* () {
      const pokes = yield* Context.get(yield* another(), Wakeup).pokes
      yield* listening(pokes)
      yield* Effect.scoped(
        Effect.flatMap(another(), (producer) =>
          Effect.provideContext(Note.enqueue(1, { queue: "last words" }), producer)
        )
      )
      assert.strictEqual(yield* nextQueue(pokes), "last words")
    }))

  test("hears of what SQL enqueues, of many queues at once, and of no queue twice in one moment [LK-E6]", () =>
    Effect.gen(function* () {
      const [producer, worker] = [yield* another(), yield* another()]
      const pokes = yield* Context.get(worker, Wakeup).pokes
      yield* listening(pokes)
      yield* Context.get(producer, PgClientModule.PgClient)`SELECT lanekeeper.enqueue('note', '1', queue => 'from SQL')`
      assert.strictEqual(yield* nextQueue(pokes), "from SQL")
      const { poke } = Context.get(producer, Wakeup)
      // All at one instant of the event loop: the first may go out alone, the others go together.
      yield* Effect.forEach(Array.from({ length: 1_000 }), () => poke(["a", "b"]), { discard: true })
      yield* poke(["end"])
      const heard: Array<string> = []
      while (heard.at(-1) !== "end") heard.push(yield* nextQueue(pokes))
      assert.isAtMost(heard.length, 100)
      assert.includeMembers(heard, ["a", "b"])
    }))

  test("fails to build on a schema name that cannot be, with a sentence [LK-N3]", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(another('no"name'))
      assert.strictEqual(error._tag, "InvalidSchemaName")
      assert.match(error.message, /^"no"name" is no name for a schema: take 1 to 48 of a-z/)
    }))

  test("takes schema and ways to the server from the environment [LK-M1]", () =>
    Effect.gen(function* () {
      const { url } = yield* TestDatabase
      const schema = SchemaName.make("from_environment")
      yield* Migrations.migrate({ schema })
      const environment = ConfigProvider.layer(
        ConfigProvider.fromEnv({
          env: { LANEKEEPER_SCHEMA: schema, LANEKEEPER_LEADERSHIP: "lease", LANEKEEPER_DIRECT_URL: url }
        })
      )
      const app = yield* Layer.build(
        Lanekeeper.layerClient.pipe(Layer.provideMerge(Lanekeeper.layerPostgresConfig), Layer.provide(environment))
      )
      const { id } = yield* Effect.provideContext(Note.enqueue(1), app)
      const sql = yield* PgClientModule.PgClient
      assert.deepStrictEqual(yield* sql.unsafe(`SELECT id FROM ${schema}.jobs`), [{ id }])
      const wrong = ConfigProvider.layer(ConfigProvider.fromEnv({ env: { LANEKEEPER_LEADERSHIP: "vote" } }))
      const error = yield* Effect.flip(Layer.build(Lanekeeper.layerPostgresConfig.pipe(Layer.provide(wrong))))
      assert.match(error.message, /LANEKEEPER_LEADERSHIP/)
    }))
})
