/** Promotion under a pinned snapshot reads what is due, and not what was promoted before. */
import { PgClient } from "@effect/sql-pg/PgClient"
import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { DueMark } from "../../../src/store/postgres/DueMark.ts"
import { Store } from "../../../src/store/Store.ts"
import { eventually } from "../../support/eventually.ts"
import { TestDatabase } from "../../support/TestDatabase.ts"
import { layerSuite } from "../suitePostgres.ts"

const cheap = 100
const dear = 20_000
const bytes = 2_000_000

describe("The mark of what is due", () => {
  it("is not used while walking over all is cheap [LK-D1]", () => {
    const mark = new DueMark()
    for (let now = 0; now < 1_000; now += 250) {
      assert.isNull(mark.lookBack(now))
      mark.ran(now, null, { micros: cheap, bytes, moved: 0, limit: 10 })
    }
  })

  it("lets runs begin a little before the last one that left nothing behind, when it is dear [LK-D1]", () => {
    const mark = new DueMark()
    mark.ran(0, null, { micros: dear, bytes, moved: 3, limit: 10 })
    assert.strictEqual(mark.lookBack(250), 1_250)
    mark.ran(250, 1_250, { micros: cheap, bytes, moved: 10, limit: 10 }) // full: there may be more
    assert.strictEqual(mark.lookBack(300), 1_300)
    mark.ran(300, 1_300, { micros: cheap, bytes, moved: 9, limit: 10 })
    assert.strictEqual(mark.lookBack(550), 1_250)
  })

  it("is left for a walk over all as often as that may cost a hundredth of the time [LK-D1]", () => {
    const mark = new DueMark()
    mark.ran(0, null, { micros: dear, bytes, moved: 0, limit: 10 })
    assert.isNumber(mark.lookBack(1_999))
    assert.isNull(mark.lookBack(2_000))
    mark.ran(2_000, null, { micros: cheap, bytes, moved: 0, limit: 10 })
    assert.isNull(mark.lookBack(2_001))
  })

  it("takes no walk over a small index for a dear one: the machine was busy", () => {
    const mark = new DueMark()
    mark.ran(0, null, { micros: dear, bytes: 8_192, moved: 0, limit: 10 })
    assert.isNull(mark.lookBack(250))
  })

  it("takes no run that moved much for a dear one", () => {
    const mark = new DueMark()
    mark.ran(0, null, { micros: 20_000, bytes, moved: 1_000, limit: 2_000 })
    assert.isNull(mark.lookBack(250))
  })
})

describe("Promotion under a pinned snapshot", () => {
  it.live(
    "finds what becomes due, and what was written late with a time that had passed [LK-D1, LK-C1]",
    () =>
      Effect.gen(function* () {
        const sql = yield* PgClient
        const store = yield* Store
        const pinned = yield* (yield* (yield* TestDatabase).connect).pin
        yield* pinned.query("BEGIN ISOLATION LEVEL REPEATABLE READ")
        yield* pinned.query("SELECT count(*) FROM pg_class")
        let jobs = 0
        const schedule = (count: number, when: string) => sql`
          INSERT INTO lanekeeper.timed (job, run_at, attempt, failures, crashes, slot, priority, queue, kind)
          SELECT job, clock_timestamp() + ${when}::interval, 0, 0, 0, 1, 5, 'post', 'mail'
          FROM generate_series(${jobs + 1}::int, ${(jobs += count)}::int) AS job`
        const promoted = Effect.map(store.promote({ limit: 10_000 }), ({ ready }) => ready)
        for (let round = 0; round < 4; round++) {
          yield* schedule(10_000, "0")
          assert.strictEqual(yield* promoted, 10_000)
        }
        for (let round = 0; round < 20; round++) {
          yield* schedule(3, "0")
          assert.strictEqual(yield* promoted, 3)
          assert.deepStrictEqual((yield* store.overdue).scheduled, Duration.zero)
        }
        yield* schedule(5, "-1 hour")
        yield* eventually(store.overdue, ({ scheduled }) => Duration.isGreaterThan(scheduled, Duration.minutes(59)))
        assert.strictEqual(yield* eventually(promoted, (count) => count > 0), 5)
        assert.deepStrictEqual(yield* sql`SELECT FROM lanekeeper.timed`, [])
      }).pipe(Effect.scoped, Effect.provide(layerSuite)),
    30_000
  )
})
