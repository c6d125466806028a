/** A process that vanishes between any two statements of an attempt, on PostgreSQL. */
import { PgClient } from "@effect/sql-pg/PgClient"
import { assert, layer } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { runAttempt } from "../../src/dispatch/runAttempt.ts"
import type { Ending } from "../../src/domain/Attempt.ts"
import type { NoteName } from "../../src/domain/Note.ts"
import { provided } from "../../src/Handlers.ts"
import * as Job from "../../src/Job.ts"
import { layerPostgres } from "../../src/store/postgres/index.ts"
import { Store } from "../../src/store/Store.ts"
import { TestDatabase } from "../support/TestDatabase.ts"

const Five = Job.make("five", { payload: {} })
const steps = ["one", "two", "three", "four", "five"]

/** Counts the boundaries between statements, and is gone at one of them. */
class Life {
  boundary = 0
  over = false
  readonly end: number

  constructor(end: number) {
    this.end = end
  }

  readonly goOn = Effect.suspend(() => {
    this.over ||= ++this.boundary >= this.end
    return this.over ? Effect.die(new Error("the process is gone")) : Effect.void
  })

  /** A statement with its two boundaries. */
  readonly of = <A, E, R>(statement: Effect.Effect<A, E, R>) =>
    this.goOn.pipe(Effect.andThen(statement), Effect.tap(this.goOn))
}

const suite = layerPostgres().pipe(Layer.provideMerge(TestDatabase.layer))

/** Claims the job, runs it, and says what came of it, unless its process is gone before. */
const live = Effect.fnUntraced(function* (life: Life) {
  const sql = yield* PgClient
  const store = yield* Store
  const handler = Five.handle(
    Effect.fnUntraced(function* (_, { step }) {
      for (const name of steps) {
        const effect = Effect.asVoid(Effect.orDie(life.of(sql`INSERT INTO effect (name) VALUES (${name})`)))
        yield* sql.withTransaction(step(name, effect))
        yield* life.goOn
      }
    })
  )
  const handlers = yield* Effect.flatMap(Layer.build(handler), (context) => Effect.provideContext(provided, context))
  const worker = yield* store.register("mortal")
  const queues = [{ queue: "default", limit: 1 }]
  const [claimed] = (yield* store.claim({ worker, kinds: ["five"], queues })).jobs
  if (claimed === undefined) return assert.fail("there is nothing to claim")
  const { attempt, id, lease } = claimed
  const note = (name: NoteName, value: unknown) => ({ id, lease, attempt, name, value })
  const finish = (ending: Ending) => life.of(store.finish(worker, [{ id, lease, attempt, ran: Duration.zero, ending }]))
  const ending = yield* runAttempt(handlers.get("five")!, claimed, {
    stopping: Effect.never,
    complete: () => Effect.void,
    around: (handler) => handler,
    memory: {
      recall: life.of(store.recall(id)),
      remember: (name, value) => life.of(store.remember(worker, note(name, value))),
      note: () => undefined
    }
  })
  if (!life.over) yield* Effect.exit(finish(ending))
  if (!life.over) return
  yield* store.declareDead(worker, 0)
  yield* store.rescueWorker(worker, { limit: 10, crashBudget: 3 })
}, Effect.scoped)

layer(suite, { excludeTestServices: true })("An attempt whose process vanishes", (it) => {
  it.effect("does each of its steps once, between whichever statements it was killed [LK-G7, LK-P2]", () =>
    Effect.gen(function* () {
      const sql = yield* PgClient
      const store = yield* Store
      yield* sql`CREATE TABLE effect (name text)`
      let kills = 0
      for (let end = 1; kills === end - 1; end++) {
        yield* sql`TRUNCATE effect`
        const [id] = yield* store.enqueue([{ kind: "five", queue: "default", priority: 5, payload: {} }])
        const first = new Life(end)
        yield* live(first)
        if (first.over) {
          kills++
          const place = yield* store.place(id!)
          if (place._tag === "Some" && place.value === "ready") yield* live(new Life(Infinity))
        }
        const effects = yield* sql<{ readonly name: string }>`SELECT name FROM effect`
        assert.deepStrictEqual(
          effects.map(({ name }) => name),
          steps,
          `killed at the boundary ${end}`
        )
        const { history, place } = Option.getOrThrow(yield* store.show(id!))
        assert.strictEqual(place, "completed", `killed at the boundary ${end}`)
        assert.strictEqual(history.filter(({ state }) => state === "completed").length, 1)
      }
      assert.strictEqual(kills, 29) // five of each step, two of each look and of the end
    })
  )
})
