/** When a process takes its database for away, in its own time. */
import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { SqlError, UnknownError } from "effect/sql/SqlError"
import { TestClock } from "effect/testing"
import { watchReach } from "../../src/http/reach.ts"
import * as Lanekeeper from "../../src/Lanekeeper.ts"
import { Runtime, type Status } from "../../src/roles/Runtime.ts"
import { Store, type Term } from "../../src/store/Store.ts"
import { StoreConnections } from "../../src/StoreConnections.ts"

/** A role on a database that answers as it is told. */
const world = Effect.gen(function* () {
  const told = { asked: 0, answers: "at once" as "at once" | "never" | "no", term: Option.none<Term>() }
  const ground = yield* Layer.build(Lanekeeper.layerMemory)
  const store = Context.get(ground, Store)
  const leader = Effect.suspend(() => {
    told.asked++
    if (told.answers === "at once") return store.leader
    if (told.answers === "never") return Effect.never
    return Effect.fail(new SqlError({ reason: new UnknownError({ cause: new Error("it is being moved") }) }))
  })
  const status = Effect.sync((): Status => ({ phase: "running", term: told.term, lanes: [] }))
  const { away } = yield* watchReach.pipe(
    Effect.provideContext(Context.add(ground, Store, { ...store, leader })),
    Effect.provideService(Runtime, { status } as Runtime["Service"])
  )
  return { told, away, connections: Context.get(ground, StoreConnections) }
})

describe("The reach of a role", () => {
  it.effect("is lost when the database has not answered for a while, and found with its next answer [LK-K6]", () =>
    Effect.gen(function* () {
      const { away, told } = yield* world
      yield* TestClock.adjust("1 minute")
      assert.isNull(yield* away)
      told.answers = "no"
      yield* TestClock.adjust("6 seconds")
      assert.isNull(yield* away)
      yield* TestClock.adjust("4 seconds")
      assert.match(
        (yield* away) ?? "",
        /^The database has not answered for \d+ s \(it is being moved\): see that it runs and can be reached$/
      )
      told.answers = "at once"
      yield* TestClock.adjust("2 seconds")
      assert.isNull(yield* away)
    })
  )

  it.effect("is not lost by one answer that does not come, wherever it falls [LK-K6]", () =>
    Effect.gen(function* () {
      const { away, told } = yield* world
      for (let n = 0; n < 20; n++) {
        told.answers = "never"
        const { asked } = told
        while (told.asked === asked) yield* TestClock.adjust("100 millis")
        told.answers = "at once"
        for (let tenth = 0; tenth < 50; tenth++) {
          yield* TestClock.adjust("100 millis")
          assert.isNull(yield* away)
        }
      }
      told.answers = "never"
      yield* TestClock.adjust("12 seconds")
      assert.match((yield* away) ?? "", /\(no answer in 2s\)/)
    })
  )

  it.effect(
    "is not asked for while it leads, and is asked for on a connection that is open anyway [LK-K6] [LK-K8]",
    () =>
      Effect.gen(function* () {
        const { connections, told } = yield* world
        yield* TestClock.adjust("10 seconds")
        assert.isAbove(told.asked, 3)
        told.term = Option.some(1n as Term)
        const { asked } = told
        yield* TestClock.adjust("1 minute")
        assert.strictEqual(told.asked, asked)
        told.term = Option.none()
        const lent = Context.get(yield* Layer.build(Layer.fresh(Lanekeeper.layerMemory)), Store)
        yield* connections.lend(lent, "3 seconds")
        yield* TestClock.adjust("1 minute")
        assert.strictEqual(told.asked, asked)
      })
  )
})
