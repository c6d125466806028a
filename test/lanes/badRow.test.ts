import { PgClient } from "@effect/sql-pg/PgClient"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { runOnce } from "../../src/lanes/Lane.ts"
import { promote } from "../../src/lanes/promote.ts"
import { rescueCallback } from "../../src/lanes/rescueCallback.ts"
import { rescueDeadline } from "../../src/lanes/rescueDeadline.ts"
import { rescueStale } from "../../src/lanes/rescueStale.ts"
import { numberOf } from "../../src/domain/Job.ts"
import { Store } from "../../src/store/Store.ts"
import { Wakeup } from "../../src/Wakeup.ts"
import { elapse, layerSuite } from "../store/suitePostgres.ts"
import { hours, makeWorld } from "../store/suiteWorld.ts"
import { quietly } from "../support/quietly.ts"

const ground = layerSuite.pipe(Layer.provideMerge(Wakeup.layerLocal))

const world = Effect.gen(function* () {
  const context = yield* Effect.context<PgClient>()
  return makeWorld(yield* Store, (time) => Effect.provideContext(elapse(time), context))
})

/** No statement can make this job ready. */
const spoil = Effect.fnUntraced(function* (job: bigint) {
  const sql = yield* PgClient
  yield* sql.unsafe(`CREATE OR REPLACE FUNCTION lanekeeper.spoiled() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN RAISE EXCEPTION 'spoiled'; END $$`)
  yield* sql.unsafe(
    `CREATE TRIGGER spoiled_${job} BEFORE INSERT ON lanekeeper.ticket FOR EACH ROW
     WHEN (NEW.again = ${job}) EXECUTE FUNCTION lanekeeper.spoiled()`
  )
})

describe("A row that no batch can move", () => {
  it.live("is set aside with the reason, and the others of its batch move [LK-B9]", () =>
    Effect.gen(function* () {
      const { enqueue, isAt, show } = yield* world
      const ids = yield* enqueue(...Array.from({ length: 20 }, () => ({ runIn: hours(1) })))
      yield* elapse(hours(1))
      yield* spoil(numberOf(ids[7]!))
      yield* spoil(numberOf(ids[12]!))
      const runs = [yield* runOnce(promote), yield* runOnce(promote), yield* runOnce(promote)]
      assert.deepStrictEqual(
        runs.map(({ error, rows }) => [error, rows]),
        [
          [null, { ready: 7, dead: 1 }],
          [null, { ready: 4, dead: 1 }],
          [null, { ready: 7 }]
        ]
      )
      for (const bad of [7, 12]) {
        yield* isAt("dead", ids[bad]!)
        assert.strictEqual((yield* show(ids[bad]!)).history.at(-1)!.reason, "a lane could not move it: spoiled")
      }
      yield* isAt("ready", ...ids.filter((_, n) => n !== 7 && n !== 12))
    }).pipe(quietly, Effect.provide(ground))
  )

  it.live("is set aside from the waits as well [LK-B9]", () =>
    Effect.gen(function* () {
      const { isAt, waiting } = yield* world
      const [good, bad, last] = [
        yield* waiting("a", "retry"),
        yield* waiting("b", "retry"),
        yield* waiting("c", "retry")
      ]
      yield* elapse(hours(2))
      yield* spoil(numberOf(bad))
      assert.deepStrictEqual((yield* runOnce(rescueCallback)).rows, { ready: 1, dead: 1 })
      assert.deepStrictEqual((yield* runOnce(rescueCallback)).rows, { ready: 1 })
      yield* isAt("ready", good, last)
      yield* isAt("dead", bad)
    }).pipe(quietly, Effect.provide(ground))
  )

  const rescued = Effect.fnUntraced(function* () {
    const { claim, declareDead, enqueue, register, store } = yield* world
    const worker = yield* register
    const ids = yield* enqueue({}, {}, {}, {}, {})
    yield* claim(worker, 3)
    yield* claim(worker, 3)
    yield* spoil(numberOf(ids[1]!))
    yield* declareDead(worker)
    const other = yield* store.register("other")
    const [last] = yield* enqueue({})
    yield* claim(other)
    yield* declareDead(other)
    return { ids, last: last! }
  })

  it.live("is set aside from the leases of a vanished worker: it dies, and all others are rescued [LK-B9, LK-C2]", () =>
    Effect.gen(function* () {
      const { isAt, show, store } = yield* world
      const { ids, last } = yield* rescued()
      assert.deepInclude(yield* runOnce(rescueStale), { rows: { ready: 5, dead: 1 }, error: null })
      yield* isAt("dead", ids[1]!)
      yield* isAt("ready", last, ...ids.filter((_, n) => n !== 1))
      const line = (yield* show(ids[1]!)).history.at(-1)!
      assert.deepInclude(line, { state: "rescued", reason: "a lane could not move it: spoiled" })
      yield* store.tendEvents({ limit: 100, keep: hours(1), sink: true })
      const told = yield* store.events({ after: 0n, limit: 100 })
      assert.lengthOf(told, 7)
      assert.deepInclude(yield* runOnce(rescueStale), { rows: {}, error: null })
    }).pipe(quietly, Effect.provide(ground))
  )

  it.live("is set aside from the attempts past their deadline as well [LK-B9, LK-C4]", () =>
    Effect.gen(function* () {
      const { isAt, running } = yield* world
      const [good, bad, last] = [
        yield* running({ deadline: hours(1) }),
        yield* running({ deadline: hours(1) }),
        yield* running({ deadline: hours(1) })
      ]
      yield* spoil(numberOf(bad.id))
      yield* elapse(hours(2))
      assert.deepInclude(yield* runOnce(rescueDeadline), { rows: { ready: 2, dead: 1 }, error: null })
      yield* isAt("ready", good.id, last.id)
      yield* isAt("dead", bad.id)
    }).pipe(quietly, Effect.provide(ground))
  )

  it.live(
    "keeps no other from being rescued when it cannot even die, and is reported when it alone is left [LK-B9]",
    () =>
      Effect.gen(function* () {
        const sql = yield* PgClient
        const { isAt } = yield* world
        const { ids, last } = yield* rescued()
        yield* sql.unsafe(
          `CREATE TRIGGER immortal BEFORE INSERT ON lanekeeper.dead FOR EACH ROW EXECUTE FUNCTION lanekeeper.spoiled()`
        )
        const first = yield* runOnce(rescueStale)
        assert.deepStrictEqual(first.rows, { ready: 5 })
        assert.strictEqual(first.error, "spoiled")
        yield* isAt("ready", last, ...ids.filter((_, n) => n !== 1))
        yield* isAt("running", ids[1]!)
        assert.deepInclude(yield* runOnce(rescueStale), { rows: {}, error: "spoiled" })
        yield* sql`DROP TRIGGER immortal ON lanekeeper.dead`
        assert.deepInclude(yield* runOnce(rescueStale), { rows: { dead: 1 }, error: null })
      }).pipe(quietly, Effect.provide(ground))
  )

  it.live("is told from a database that is away or busy: then nothing is set aside [LK-B9]", () =>
    Effect.gen(function* () {
      const sql = yield* PgClient
      const { enqueue, isAt } = yield* world
      const [id] = yield* enqueue({ runIn: hours(1) })
      yield* elapse(hours(1))
      yield* sql`ALTER TABLE lanekeeper.ticket RENAME TO ticket_elsewhere`
      assert.include((yield* runOnce(promote)).error!, "ticket")
      yield* sql`ALTER TABLE lanekeeper.ticket_elsewhere RENAME TO ticket`
      yield* isAt("scheduled", id!)
      assert.deepStrictEqual((yield* runOnce(promote)).rows, { ready: 1 })
    }).pipe(quietly, Effect.provide(ground))
  )
})
