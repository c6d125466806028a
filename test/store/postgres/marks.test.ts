/** A claim that begins at marks: it takes all that does not lie below one, and the walk finds what does. */
import { PgClient } from "@effect/sql-pg/PgClient"
import { assert, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { int2s, int8s, texts } from "../../../src/store/postgres/parameters.ts"
import { numberOf } from "../../../src/domain/Job.ts"
import type { JobId } from "../../../src/domain/Job.ts"
import { empty, layerSuite } from "../suitePostgres.ts"
import { makeWorld, released } from "../suiteWorld.ts"

const fresh = (priority: number) => 2 * priority + 1
const again = (priority: number) => 2 * priority

layer(layerSuite, { excludeTestServices: true })("A claim that begins at marks", (it) => {
  const scene = Effect.gen(function* () {
    const sql = yield* PgClient
    const { claim, enqueue, finish, register } = makeWorld(yield* empty, () => Effect.void)
    const worker = yield* register
    const one = (priority: number) => Effect.map(enqueue({ priority }), ([id]) => id!)
    // Ready again, before everything of its priority: its ticket has a number of its own by now.
    const returned = yield* one(5)
    const [running] = (yield* claim(worker)).jobs
    const early = yield* one(5)
    const marked = yield* one(5)
    yield* finish(worker, running!, released)
    const late = yield* one(5)
    const urgent = yield* one(3)
    const last = yield* one(9)
    const ticketOf = (id: JobId) =>
      Effect.map(
        sql<{ id: bigint }>`SELECT id FROM lanekeeper.ticket WHERE jobs @> ${numberOf(id)}::bigint`,
        ([row]) => row!.id
      )
    const claimFrom = (limit: number, ...marks: ReadonlyArray<readonly [turn: number, mark: bigint]>) =>
      Effect.map(
        sql.unsafe<{ job: bigint }>(
          `WITH row AS MATERIALIZED (
             SELECT * FROM lanekeeper.claim($1, '{mail}', '{post}', ARRAY[$2::int], '{0}', 100, 0, false, $3, $4, $5, $6)
           )
           SELECT row.job FROM row JOIN row AS common ON common.lease = row.lease AND common.job IS NULL
           WHERE row.job IS NOT NULL ORDER BY (common.content ->> 'priority')::int, common.ord IS NULL, row.ord`,
          [
            worker,
            limit,
            texts(marks.map(() => "post")),
            texts(marks.map(() => "mail")),
            int2s(marks.map(([turn]) => turn)),
            int8s(marks.map(([, mark]) => mark))
          ]
        ),
        (rows) => rows.map(({ job }) => job)
      )
    return { sql, returned, early, marked, late, urgent, last, ticketOf, claimFrom }
  })

  it.effect("takes what is better, what is ready again and what comes after, and nothing below a mark [LK-D1]", () =>
    Effect.gen(function* () {
      const { claimFrom, last, late, marked, returned, ticketOf, urgent } = yield* scene
      const taken = yield* claimFrom(10, [fresh(5), yield* ticketOf(marked)])
      assert.sameMembers(taken, [urgent, returned, marked, late, last].map(numberOf))
    })
  )

  it.effect("reads what is ready again from a mark of its own, and in turn [LK-D1]", () =>
    Effect.gen(function* () {
      const { claimFrom, last, late, marked, returned, ticketOf, urgent } = yield* scene
      const marks = [
        [again(5), (yield* ticketOf(returned)) + 1n],
        [fresh(5), yield* ticketOf(marked)],
        [fresh(9), yield* ticketOf(last)]
      ] as const
      assert.deepStrictEqual(yield* claimFrom(2, ...marks), [urgent, marked].map(numberOf))
      assert.deepStrictEqual(yield* claimFrom(10, ...marks), [late, last].map(numberOf))
    })
  )

  it.effect("leaves what lies below to the walk, which names the lowest ticket of every turn [LK-F3]", () =>
    Effect.gen(function* () {
      const { claimFrom, early, last, marked, returned, sql, ticketOf, urgent } = yield* scene
      const walk = sql<{ turn: number; mark: bigint }>`
        SELECT turn, mark FROM lanekeeper.turns('{mail}', '{post}') ORDER BY turn`
      const lowest = [
        { turn: fresh(3), mark: yield* ticketOf(urgent) },
        { turn: again(5), mark: yield* ticketOf(returned) },
        { turn: fresh(5), mark: yield* ticketOf(early) },
        { turn: fresh(9), mark: yield* ticketOf(last) }
      ]
      assert.deepStrictEqual(yield* walk, lowest)
      yield* claimFrom(10, [fresh(5), yield* ticketOf(marked)])
      assert.deepStrictEqual(yield* walk, lowest.slice(2, 3))
      assert.deepStrictEqual(yield* claimFrom(10, [fresh(5), lowest[2]!.mark]), [numberOf(early)])
    })
  )
})
