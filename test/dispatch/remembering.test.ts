/** What an attempt leaves for the ones after it. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Ref from "effect/Ref"
import * as Schema from "effect/Schema"
import * as Job from "../../src/Job.ts"
import type { Attempt } from "../../src/Attempt.ts"
import type { JobId } from "../../src/domain/Job.ts"
import type { Store } from "../../src/store/Store.ts"
import { away, elapse, inWorld } from "./world.ts"

class Later extends Schema.TaggedError<Later>()("Later", {}) {}

const Order = Job.make("order", {
  payload: { id: Schema.Int },
  output: Schema.String,
  failure: Later,
  onFailure: () => ({ after: 0 }),
  keepLogs: 3
})

const Receipt = Schema.Struct({ number: Schema.BigInt, at: Schema.DateTimeUtc })

const noted = (store: Store["Service"], id: JobId) =>
  Effect.map(store.recall(id), (notes) => Object.fromEntries(notes.map(({ name, value }) => [name, value])))

const attempts = <R>(body: (attempt: Attempt<string>) => Effect.Effect<string, Later | unknown, R>) =>
  Order.handle((_, attempt) => body(attempt) as Effect.Effect<string, Later, R>)

describe("A step", () => {
  it.effect("that has succeeded is not run again, and its result comes back as its Schema says [LK-G7]", () =>
    inWorld(
      Effect.fnUntraced(function* ({ store, worker }) {
        const charges = yield* Ref.make(0)
        const seen = yield* Ref.make<ReadonlyArray<unknown>>([])
        const { id } = yield* Order.enqueue({ id: 1 })
        yield* worker(
          attempts(
            Effect.fn(function* (attempt) {
              const receipt = yield* attempt.step(
                "charge",
                Receipt,
                Effect.map(
                  Ref.updateAndGet(charges, (n) => n + 1),
                  (n) => ({
                    number: BigInt(n),
                    at: Schema.decodeSync(Schema.DateTimeUtcFromString)("2026-01-01T00:00:00Z")
                  })
                )
              )
              yield* Ref.update(seen, (all) => [...all, receipt.number])
              if (attempt.attempt < 3) return yield* new Later()
              return `receipt ${receipt.number}`
            })
          )
        )
        yield* elapse("5 seconds")
        assert.strictEqual(yield* Order.await(id), "receipt 1")
        assert.strictEqual(yield* Ref.get(charges), 1)
        assert.deepStrictEqual(yield* Ref.get(seen), [1n, 1n, 1n])
        assert.deepStrictEqual((yield* store.recall(id)).find(({ name }) => name === "step:charge")!.attempt, 1)
      })
    )
  )

  it.effect("that fails is run again, and only it [LK-G7]", () =>
    inWorld(
      Effect.fnUntraced(function* ({ worker }) {
        const runs = yield* Ref.make<ReadonlyArray<string>>([])
        const run = (name: string) => Ref.update(runs, (all) => [...all, name])
        const { id } = yield* Order.enqueue({ id: 1 })
        yield* worker(
          attempts(
            Effect.fn(function* (attempt) {
              yield* attempt.step("first", run("first"))
              yield* attempt.step(
                "second",
                Effect.andThen(run("second"), attempt.attempt === 1 ? Effect.fail(new Later()) : Effect.void)
              )
              yield* attempt.step("third", run("third"))
              return "done"
            })
          )
        )
        yield* elapse("5 seconds")
        assert.strictEqual(yield* Order.await(id), "done")
        assert.deepStrictEqual(yield* Ref.get(runs), ["first", "second", "second", "third"])
      })
    )
  )

  it.effect("in a transaction that fails has not happened, and can be tried again at once [LK-G7]", () =>
    inWorld(
      Effect.fnUntraced(function* ({ store, worker }) {
        const tries = yield* Ref.make(0)
        const { id } = yield* Order.enqueue({ id: 1 })
        yield* worker(
          attempts((attempt) =>
            store
              .atomically(
                Effect.andThen(
                  attempt.step("charge", Effect.void),
                  Effect.flatMap(
                    Ref.updateAndGet(tries, (n) => n + 1),
                    (n) => (n < 3 ? Effect.fail(new Later()) : Effect.succeed("charged"))
                  )
                )
              )
              .pipe(Effect.retry({ times: 5 }))
          )
        )
        yield* elapse("1 second")
        assert.strictEqual(yield* Order.await(id), "charged")
        assert.strictEqual(yield* Ref.get(tries), 3)
      })
    )
  )

  it.effect("of a name that was used in the same attempt, or stored in another shape, says so [LK-G7]", () =>
    inWorld(
      Effect.fnUntraced(function* ({ store, worker }) {
        const { id: twice } = yield* Order.enqueue({ id: 1 }, { maxAttempts: 1 })
        const { id: changed } = yield* Order.enqueue({ id: 2 }, { maxAttempts: 2 })
        yield* worker(
          Order.handle(
            Effect.fn(function* ({ id }, { attempt, step }) {
              if (id === 1) {
                yield* step("same", Effect.void)
                yield* step("same", Effect.void)
              } else if (attempt === 1) {
                yield* step("total", Schema.String, Effect.succeed("seven"))
                return yield* new Later()
              } else yield* step("total", Schema.Int, Effect.succeed(7))
              return "done"
            })
          )
        )
        yield* elapse("1 second")
        const reason = (id: JobId) =>
          Effect.map(store.show(id), (view) => Option.getOrThrow(view).history.at(-1)!.reason!)
        assert.include(yield* reason(twice), `The step "same" has been run in this attempt`)
        assert.include(yield* reason(changed), `The result of the step "total" was stored in another shape`)
      })
    )
  )

  it.effect("whose attempt is no longer the job's fails, so that its transaction is undone [LK-G7, LK-G1]", () =>
    inWorld(
      Effect.fnUntraced(function* ({ store, worker }) {
        const failed = yield* Ref.make<ReadonlyArray<string>>([])
        const { id } = yield* Order.enqueue({ id: 1 })
        yield* worker(
          attempts((attempt) =>
            attempt.attempt > 1
              ? Effect.succeed("again")
              : Effect.sleep("2 seconds").pipe(
                  Effect.andThen(attempt.step("late", Effect.void)),
                  Effect.tapError((error) => Ref.set(failed, [error._tag])),
                  Effect.as("late")
                )
          )
        )
        const { id: self } = (yield* store.workers)[0]!
        const { leases } = yield* store.beat(self)
        yield* store.release(self, leases)
        yield* elapse("2 seconds")
        assert.deepStrictEqual(yield* Ref.get(failed), ["AttemptLost"])
        assert.strictEqual(yield* Order.await(id), "again")
        assert.notProperty(yield* noted(store, id), "step:late")
      })
    )
  )
})

describe("Progress", () => {
  it.effect("is written once a second, however often it is said, and kept when the job is over [LK-G6]", () =>
    inWorld(
      Effect.fnUntraced(function* ({ store, watched, worker }) {
        const { id } = yield* Order.enqueue({ id: 1 })
        yield* worker(
          attempts(
            Effect.fn(function* (attempt) {
              for (let n = 1; n <= 5_000; n++) {
                yield* attempt.progress(n / 50, `row ${n}`)
                yield* Effect.sleep("1 millis")
              }
              return "done"
            })
          )
        )
        yield* elapse("2500 millis")
        const { percent } = (yield* noted(store, id))["progress"] as { percent: number }
        assert.isAtLeast(percent, 30)
        yield* elapse("3 seconds")
        assert.strictEqual(yield* Order.await(id), "done")
        assert.deepStrictEqual((yield* noted(store, id))["progress"], { percent: 100, message: "row 5000" })
        assert.isAtMost(watched.count("note"), 6)
      })
    )
  )

  it.effect("and checkpoints are there for the next attempt, whatever became of the last [LK-G6]", () =>
    inWorld(
      Effect.fnUntraced(function* ({ store, worker }) {
        const Page = Schema.Struct({ page: Schema.Int })
        const began = yield* Ref.make<ReadonlyArray<number>>([])
        const { id } = yield* Order.enqueue({ id: 1 })
        yield* worker(
          attempts(
            Effect.fn(function* (attempt) {
              const from = Option.match(yield* attempt.checkpointed(Page), {
                onNone: () => 0,
                onSome: ({ page }) => page
              })
              yield* Ref.update(began, (all) => [...all, from])
              for (let page = from + 1; page <= 9; page++) {
                yield* attempt.progress(page * 10)
                yield* attempt.checkpoint({ page })
                if (page % 4 === 0) return yield* new Later()
              }
              return "done"
            })
          )
        )
        yield* elapse("1 second")
        assert.deepStrictEqual(yield* Ref.get(began), [0, 4, 8])
        assert.strictEqual(yield* Order.await(id), "done")
        assert.deepStrictEqual((yield* noted(store, id))["progress"], { percent: 90 })
      })
    )
  )

  it.effect("that is too large, or cannot be written now, fails nothing that it should not [LK-G6]", () =>
    inWorld(
      Effect.fnUntraced(function* ({ store, watched, worker }) {
        const { id: large } = yield* Order.enqueue({ id: 1 }, { maxAttempts: 1 })
        const { id: lucky } = yield* Order.enqueue({ id: 2 })
        watched.before = (name) => (name === "note" ? Effect.fail(away) : Effect.void)
        yield* worker(
          Order.handle(({ id }, { checkpoint, progress }) =>
            id === 1
              ? Effect.as(checkpoint("x".repeat(100_000)), "never")
              : Effect.as(Effect.andThen(progress(50), Effect.sleep("3 seconds")), "done")
          )
        )
        yield* elapse("5 seconds")
        assert.strictEqual(yield* Order.await(lucky), "done")
        const dead = Option.getOrThrow(yield* store.show(large))
        assert.include(dead.history.at(-1)!.reason!, "at most 65536 characters")
      })
    )
  )
})

describe("The log of an attempt", () => {
  it.effect("is kept with the job, its last lines, each attempt's apart [LK-G6]", () =>
    inWorld(
      Effect.fnUntraced(function* ({ lines, store, worker }) {
        const { id } = yield* Order.enqueue({ id: 1 })
        yield* worker(
          attempts(
            Effect.fn(function* (attempt) {
              for (const n of [1, 2, 3, 4]) yield* Effect.logInfo(`line ${n} of`, attempt.attempt)
              if (attempt.attempt === 1) return yield* new Later()
              return "done"
            })
          )
        )
        yield* elapse("1 second")
        const notes = yield* noted(store, id)
        const kept = (name: string) => (notes[name] as ReadonlyArray<{ message: string }>).map(({ message }) => message)
        assert.deepStrictEqual(kept("log:1"), ["line 2 of 1", "line 3 of 1", "line 4 of 1"])
        assert.deepStrictEqual(kept("log:2"), ["line 2 of 2", "line 3 of 2", "line 4 of 2"])
        assert.isTrue(
          lines.some((line) => line.includes("line 1 of")),
          "others hear it too"
        )
      })
    )
  )
})
