/**
 * Random scripts against the model. More of them: LANEKEEPER_MODEL_RUNS=10 scripts/test test/store/model.test.ts
 * A failure prints a script; `agree` runs it again.
 */
import { assert, describe, it, layer } from "@effect/vitest"
import { PgClient } from "@effect/sql-pg/PgClient"
import * as Arbitrary from "effect/Arbitrary"
import * as Clock from "effect/Clock"
import * as Console from "effect/Console"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import { agree, side } from "./modelAgreement.ts"
import { meet } from "./modelOrders.ts"
import { makeModel, type Subject } from "./modelRun.ts"
import { meeting, type Script, script } from "./modelScript.ts"
import { elapse, empty, layerSuite } from "./suitePostgres.ts"

const times = Number(process.env["LANEKEEPER_MODEL_RUNS"] ?? 1)

/** Runs the property and prints how many sequences it held for, or fails with the shortest it was found not to. */
const check = Effect.fnUntraced(function* <A, E, R>(
  what: string,
  arbitrary: Arbitrary.Arbitrary<A>,
  holds: (value: A) => Effect.Effect<number, E, R>,
  runs: number
) {
  let count = 0
  const counted = (value: A) =>
    Effect.map(holds(value), (one) => {
      count += one
      return true
    })
  const result = yield* Arbitrary.checkEffect(arbitrary, counted, { size: 120, runs: runs * times, maxShrinks: 150 })
  if (result._tag === "Falsified" && result.failure._tag === "PropertyError") {
    return yield* Effect.die(new Error(String(result.failure.error)))
  }
  if (result._tag !== "Passed") return yield* Effect.die(new Error(Arbitrary.formatCheckFailure(result)))
  yield* Console.log(`${result.runs} sequences, ${count} ${what}`)
})

describe("The model", () => {
  it.live("gives every job one place and every attempt one end, whatever is asked of it [LK-O2]", () =>
    check(
      "lines on the model alone",
      script({ minLength: 1, maxLength: 60 }),
      (drawn) => Effect.as(agree(drawn, side(makeModel()), side(makeModel())), drawn.length),
      200
    )
  )
})

layer(layerSuite, { excludeTestServices: true })("PostgreSQL and the model", (it) => {
  const postgres = Effect.gen(function* () {
    const sql = yield* PgClient
    // One slot and an attic for the whole run: what shares a lease must not depend on the time of day.
    yield* sql`UPDATE lanekeeper.ring SET period = '1000 days', retention = '22000 days' - interval '10 hours'`
    const store = yield* empty
    const clock = yield* Clock.Clock
    const context = Context.make(PgClient, sql)
    const subject: Subject = {
      store,
      now: () => clock.currentTimeMillisUnsafe(),
      elapse: (time) => Effect.provideContext(elapse(time), context),
      during: (effect) => effect
    }
    return side(subject)
  })

  const replay = Effect.fnUntraced(function* (script: Script) {
    yield* agree(script, side(makeModel()), yield* postgres)
    const sql = yield* PgClient
    const lost = yield* sql`SELECT FROM lanekeeper.ticket WHERE turn <> 2 * priority + (again IS NULL)::int`
    assert.lengthOf(lost, 0, "tickets stand at another turn than their priority gives them")
  })

  it.effect(
    "answer and hold the same after every line of a script [LK-O2]",
    () =>
      check(
        "lines on both stores",
        script({ minLength: 1, maxLength: 35 }),
        (drawn) => Effect.as(replay(drawn), drawn.length),
        16
      ),
    120_000
  )

  it.effect(
    "end in a state some order explains, when several callers meet [LK-O2]",
    () =>
      check(
        "lines tried in one order or another",
        meeting,
        (met) => Effect.flatMap(postgres, (store) => meet(met, makeModel(), store)),
        60
      ),
    120_000
  )
})
