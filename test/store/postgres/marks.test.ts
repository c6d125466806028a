/** A claim that begins at marks takes all that does not lie below one; the walk finds what does, from what is settled on. */
import { PgClient } from "@effect/sql-pg/PgClient"
import { assert, layer } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { type JobId, numberOf } from "../../../src/domain/Job.ts"
import { int2s, int8s, texts } from "../../../src/store/postgres/parameters.ts"
import { Turns } from "../../../src/store/postgres/Turns.ts"
import { walking } from "../../../src/store/postgres/walking.ts"
import { eventually } from "../../support/eventually.ts"
import { TestDatabase } from "../../support/TestDatabase.ts"
import { elapse, empty, layerSuite } from "../suitePostgres.ts"
import { makeWorld, released } from "../suiteWorld.ts"

const fresh = (priority: number) => 2 * priority + 1
const again = (priority: number) => 2 * priority

const ticketOf = Effect.fnUntraced(function* (id: JobId) {
  const sql = yield* PgClient
  const [row] = yield* sql<{ id: bigint }>`SELECT id FROM lanekeeper.ticket WHERE jobs @> ${numberOf(id)}::bigint`
  return row!.id
})

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
    return { sql, returned, early, marked, late, urgent, last, claimFrom }
  })

  it.effect("takes what is better, what is ready again and what comes after, and nothing below a mark [LK-D1]", () =>
    Effect.gen(function* () {
      const { claimFrom, last, late, marked, returned, urgent } = yield* scene
      const taken = yield* claimFrom(10, [fresh(5), yield* ticketOf(marked)])
      assert.sameMembers(taken, [urgent, returned, marked, late, last].map(numberOf))
    })
  )

  it.effect("reads what is ready again from a mark of its own, and in turn [LK-D1]", () =>
    Effect.gen(function* () {
      const { claimFrom, last, late, marked, returned, urgent } = yield* scene
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
      const { claimFrom, early, last, marked, returned, sql, urgent } = yield* scene
      const walk = sql<{ turn: number; mark: bigint }>`
        SELECT turn, mark FROM lanekeeper.turns('{mail}', '{post}', '{}', '{}', '{}', '{}') ORDER BY turn`
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

layer(layerSuite, { excludeTestServices: true })("A claim that others are before", (it) => {
  it.effect("names the lowest ticket of each turn that they hold, for they may leave some of it [LK-F4]", () =>
    Effect.gen(function* () {
      const sql = yield* PgClient
      const { enqueue, register } = makeWorld(yield* empty, () => Effect.void)
      const worker = yield* register
      const ids: Array<JobId> = []
      for (const priority of [5, 5, 5, 9, 9]) ids.push(...(yield* enqueue({ priority })))
      const tickets = yield* Effect.forEach(ids, ticketOf)
      const held = [1, 2, 4].map((index) => tickets[index]!)
      const locked = yield* Deferred.make<void>()
      const claimed = yield* Deferred.make<void>()
      const other = sql.withTransaction(
        sql
          .unsafe(`SELECT FROM lanekeeper.ticket WHERE id = ANY ($1) FOR UPDATE`, [int8s(held)])
          .pipe(Effect.andThen(Deferred.succeed(locked, undefined)), Effect.andThen(Deferred.await(claimed)))
      )
      const me = Deferred.await(locked).pipe(
        Effect.andThen(
          sql.unsafe<{ lease: bigint | null; content: unknown }>(
            `SELECT lease, content FROM lanekeeper.claim($1, '{mail}', '{post}', '{10}', '{0}', 100, 0, false, '{}', '{}', '{}', '{}')`,
            [worker]
          )
        ),
        Effect.tap(Deferred.succeed(claimed, undefined))
      )
      const [rows] = yield* Effect.all([me, other], { concurrency: 2 })
      const lowest = [
        ["post", fresh(5), Number(held[0])],
        ["post", fresh(9), Number(held[2])]
      ]
      assert.sameDeepMembers(rows.find(({ lease }) => lease === null)!.content as Array<unknown>, lowest)
    })
  )
})

layer(layerSuite, { excludeTestServices: true })("A walk from what is settled", (it) => {
  /** What a process remembers to which walks are dear, with a clock of its own. */
  const scene = Effect.gen(function* () {
    const sql = yield* PgClient
    const world = makeWorld(yield* empty, (time) => Effect.provideService(elapse(time), PgClient, sql))
    const worker = yield* world.register
    const walk = walking(sql, "lanekeeper")
    const turns = new Turns()
    const turn = { queue: "post", kind: "mail", turn: fresh(5) }
    const dear = 1_000
    let now = 0
    turns.known([turn.queue], [turn.kind])
    for (const _ of [1, 2]) turns.claimed([], now, dear)
    return {
      ...world,
      /** Claims up to this one, whose ticket becomes the mark. */
      consume: Effect.fnUntraced(function* (id: JobId, jobs: number) {
        const ticket = yield* ticketOf(id)
        assert.include(yield* world.claimedIds(worker, jobs), id)
        turns.claimed([{ ...turn, ticket, drawnAt: now - 1_000 }], now)
        return ticket
      }),
      /** A second later: where it began, and the tickets it found. */
      walk: Effect.gen(function* () {
        now += 1_000
        const due = turns.walkDue(now)!
        const walked = yield* walk(due)
        turns.walked(due, { ...walked, micros: dear }, now)
        return { from: due.turns[0]?.from, whole: due.whole, found: walked.found.map(({ ticket }) => ticket) }
      }),
      mark: () => turns.known(["post"], ["mail"])[0]?.mark
    }
  })

  it.effect("finds what commits after however many walks, and settles nothing until then [LK-F3]", () =>
    Effect.gen(function* () {
      const { consume, enqueue, mark, walk } = yield* scene
      const next = Effect.map(enqueue({}), ([id]) => id!)
      const first = yield* consume(yield* next, 1)
      yield* eventually(walk, ({ from }) => from === first)

      const writer = yield* (yield* TestDatabase).connect
      yield* writer.query("BEGIN")
      yield* writer.query("SELECT lanekeeper.enqueue('mail', queue => 'post')")
      const { rows } = yield* writer.query("SELECT max(id) AS id FROM lanekeeper.ticket")
      const late = rows[0]!["id"] as bigint
      const second = yield* consume(yield* next, 1)
      assert.isTrue(first < late && late < second)
      for (let walks = 0; walks < 12; walks++) {
        const { found, from, whole } = yield* walk
        assert.deepStrictEqual([from, found, mark()], [whole ? 0n : first, [], second])
      }
      yield* writer.query("COMMIT")
      assert.deepStrictEqual((yield* walk).found, [late])
      assert.strictEqual(mark(), late)
      const third = yield* consume(yield* next, 2)
      yield* eventually(walk, ({ from }) => from === third)
    })
  )

  it.effect("leaves what keeps its number in another turn to the whole one, every ten seconds [LK-D5]", () =>
    Effect.gen(function* () {
      const { consume, elapse, enqueue, mark, store, walk } = yield* scene
      const [waits] = yield* enqueue({ priority: 9 })
      const lifted = yield* ticketOf(waits!)
      const [id] = yield* enqueue({})
      const taken = yield* consume(id!, 1)
      yield* eventually(walk, ({ from }) => from === taken)

      yield* elapse("4 minutes")
      const [urgent] = yield* enqueue({ priority: 0 })
      const better = yield* ticketOf(urgent!)
      assert.strictEqual(yield* store.lift({ step: Duration.minutes(1), limit: 10 }), 1)
      const walks = yield* Effect.replicateEffect(walk, 10)
      assert.deepStrictEqual(
        walks.map(({ found, whole }) => [whole, ...found]),
        walks.map(({ whole }) => (whole ? [whole, better, lifted] : [whole, better]))
      )
      assert.lengthOf(
        walks.filter(({ whole }) => whole),
        1
      )
      assert.strictEqual(mark(), lifted)
    })
  )
})
