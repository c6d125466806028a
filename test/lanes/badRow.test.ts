import { PgClient } from "@effect/sql-pg/PgClient"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { runOnce } from "../../src/lanes/Lane.ts"
import { promote } from "../../src/lanes/promote.ts"
import { rescueCallback } from "../../src/lanes/rescueCallback.ts"
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
