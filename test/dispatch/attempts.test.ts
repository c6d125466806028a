/** What becomes of a job by what its handler does. */
import { assert, describe, it } from "@effect/vitest"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Ref from "effect/Ref"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as Attempt from "../../src/Attempt.ts"
import * as Job from "../../src/Job.ts"
import type { JobId } from "../../src/domain/Job.ts"
import type { Store } from "../../src/store/Store.ts"
import { elapse, inWorld, Work } from "./world.ts"

class Refused extends Schema.TaggedError<Refused>()("Refused", { code: Schema.Int }) {}
class Busy extends Schema.TaggedError<Busy>()("Busy", { seconds: Schema.Int }) {}
class Odd extends Schema.TaggedError<Odd>()("Odd", {}) {}

class Large extends Schema.TaggedError<Large>()("Large", { page: Schema.String }) {
  override get message() {
    return "what came was no invoice"
  }
}
const Fetch = Job.make("fetch", { payload: {}, failure: Large })

const Charge = Job.make("charge", {
  payload: { how: Schema.Literals(["refused", "busy", "odd", "ok"]) },
  output: Schema.Struct({ at: Schema.DateTimeUtc }),
  failure: Schema.Union([Refused, Busy, Odd]),
  onFailure: { Refused: "dead", Busy: ({ seconds }) => ({ after: Duration.seconds(seconds) }) }
})
const Charging = Charge.handle(({ how }) => {
  if (how === "refused") return Effect.fail(new Refused({ code: 7 }))
  if (how === "busy") return Effect.fail(new Busy({ seconds: 90 }))
  if (how === "odd") return Effect.fail(new Odd())
  return Effect.map(DateTime.now, (at) => ({ at }))
})

const show = (store: Store["Service"], id: JobId) => Effect.map(store.show(id), Option.getOrThrow)
const last = (store: Store["Service"], id: JobId) => Effect.map(show(store, id), ({ history }) => history.at(-1)!)
const inMillis = (due: Option.Option<DateTime.Utc>) => Option.getOrThrow(due).epochMilliseconds

describe("An attempt", () => {
  it.effect("completes a job with its output, as the kind encodes it", () =>
    inWorld(
      Effect.fnUntraced(function* ({ worker }) {
        const { id } = yield* Charge.enqueue({ how: "ok" })
        yield* worker(Charging)
        const { at } = yield* Charge.await(id)
        assert.strictEqual(at.epochMilliseconds, 0)
      })
    )
  )

  it.effect("maps each tagged failure to what its kind says: dead, later, or by the backoff [LK-G3]", () =>
    inWorld(
      Effect.fnUntraced(function* ({ store, worker }) {
        const { id: refused } = yield* Charge.enqueue({ how: "refused" })
        const { id: busy } = yield* Charge.enqueue({ how: "busy" })
        const { id: odd } = yield* Charge.enqueue({ how: "odd" })
        yield* worker(Charging)
        const dead = yield* show(store, refused)
        assert.strictEqual(dead.place, "dead")
        assert.include(dead.history[0]!.reason, "not to be tried again")
        assert.deepInclude(dead.history[0]!.error, { _tag: "Refused", code: 7 })
        const later = yield* show(store, busy)
        assert.deepStrictEqual([later.place, later.failures, inMillis(later.due)], ["scheduled", 1, 90_000])
        const again = yield* show(store, odd)
        assert.deepStrictEqual([again.place, again.failures, inMillis(again.due)], ["scheduled", 1, 1_000])
      })
    )
  )

  it.effect("keeps the tag and the message of a failure that is too large to keep whole [LK-G6]", () =>
    inWorld(
      Effect.fnUntraced(function* ({ store, worker }) {
        const { id } = yield* Fetch.enqueue({})
        yield* worker(Fetch.handle(() => Effect.fail(new Large({ page: "x".repeat(100_000) }))))
        const { error } = yield* last(store, id)
        assert.deepStrictEqual(error, { _tag: "Large", message: "what came was no invoice" })
      })
    )
  )

  it.effect("backs off exponentially by default, and dies when its attempts are used up [LK-G4, LK-G3]", () =>
    inWorld(
      Effect.fnUntraced(function* ({ store, worker }) {
        const { id } = yield* Charge.enqueue({ how: "odd" }, { maxAttempts: 3 })
        const delays: Array<number> = []
        yield* worker(Charging)
        for (let failure = 1; failure < 3; failure++) {
          const { due } = yield* show(store, id)
          delays.push(inMillis(due) - (yield* DateTime.now).epochMilliseconds)
          yield* elapse(delays.at(-1)!)
          yield* store.promote({ limit: 10 })
          yield* elapse("1 second")
        }
        assert.deepStrictEqual(delays, [1_000, 2_000])
        const dead = yield* show(store, id)
        assert.deepStrictEqual([dead.place, dead.failures], ["dead", 3])
        assert.match(dead.history.at(-1)!.reason!, /^exhausted after 3 failed attempts/)
      })
    )
  )

  it.effect("backs off by any Schedule of the kind's own, as far as it goes, whichever process asks it [LK-G4]", () =>
    inWorld(
      Effect.fnUntraced(function* ({ store, worker }) {
        const Own = Job.make("own", {
          payload: {},
          failure: Odd,
          backoff: Schedule.fibonacci("10 seconds").pipe(Schedule.upTo({ times: 3 }))
        })
        const { id } = yield* Own.enqueue({})
        const delays: Array<number> = []
        for (let failure = 1; failure <= 3; failure++) {
          const { abort } = yield* worker(Own.handle(() => Effect.fail(new Odd())))
          const { due } = yield* show(store, id)
          delays.push(inMillis(due) - (yield* DateTime.now).epochMilliseconds)
          yield* abort
          yield* elapse(delays.at(-1)!)
          yield* store.promote({ limit: 10 })
        }
        assert.deepStrictEqual(delays, [10_000, 10_000, 20_000])
        yield* worker(Own.handle(() => Effect.fail(new Odd())))
        assert.deepStrictEqual(yield* store.place(id), Option.some("dead"))
      })
    )
  )

  it.effect("tells defects and interruptions of its own apart, and tries both again [LK-G3]", () =>
    inWorld(
      Effect.fnUntraced(function* ({ store, worker }) {
        const { id: dies } = yield* Work.enqueue({ n: 0 })
        const { id: interrupts } = yield* Work.enqueue({ n: 1 })
        const { id: throws } = yield* Work.enqueue({ n: 2 })
        yield* worker(
          Work.handle(({ n }) => {
            if (n === 2) throw new TypeError("thrown before it began")
            return n === 0 ? Effect.die(new RangeError("out of range")) : Effect.interrupt
          })
        )
        const defect = yield* last(store, dies)
        assert.deepInclude(defect.error, { _tag: "Defect", name: "RangeError", message: "out of range" })
        assert.strictEqual(((yield* last(store, interrupts)).error as { _tag: string })._tag, "Interrupted")
        assert.strictEqual(((yield* last(store, throws)).error as { name: string }).name, "TypeError")
        for (const id of [dies, interrupts, throws]) {
          const { failures, place } = yield* show(store, id)
          assert.deepStrictEqual([place, failures], ["scheduled", 1])
        }
      })
    )
  )

  it.effect("goes on by the standard when a kind's own policy throws", () =>
    inWorld(
      Effect.fnUntraced(function* ({ lines, store, worker }) {
        const Broken = Job.make("broken", {
          payload: {},
          failure: Odd,
          onFailure: () => {
            throw new Error("never thought of that")
          }
        })
        const { id } = yield* Broken.enqueue({})
        yield* worker(Broken.handle(() => Effect.fail(new Odd())))
        assert.deepStrictEqual(yield* store.place(id), Option.some("scheduled"))
        assert.isTrue(lines.some((line) => line.includes("its failure policy throws")))
      })
    )
  )

  it.effect(
    "ends a job whose payload no longer decodes, with the path of the fault, and runs the others [LK-G10]",
    () =>
      inWorld(
        Effect.fnUntraced(function* ({ store, worker }) {
          const poison = { kind: "work", queue: "default", priority: 5, payload: { n: "seven" } }
          const [bad] = yield* store.enqueue([poison])
          const { id: good } = yield* Work.enqueue({ n: 7 })
          yield* worker(Work.handle(() => Effect.void))
          const dead = yield* show(store, bad!)
          assert.strictEqual(dead.place, "dead")
          assert.match(dead.history[0]!.reason!, /^its payload is not what its kind says: n: /)
          assert.deepStrictEqual(yield* store.place(good), Option.some("completed"))
        })
      )
  )

  it.effect("can be snoozed from inside, which counts as nothing, and be cancelled for good [LK-G5]", () =>
    inWorld(
      Effect.fnUntraced(function* ({ store, worker }) {
        const { id: snoozed } = yield* Work.enqueue({ n: 0 })
        const { id: cancelled } = yield* Work.enqueue({ n: 1 })
        yield* worker(Work.handle(({ n }) => (n === 0 ? Attempt.snooze("1 hour") : Attempt.cancel("not wanted"))))
        const later = yield* show(store, snoozed)
        assert.deepStrictEqual([later.place, later.failures, inMillis(later.due)], ["scheduled", 0, 3_600_000])
        const over = yield* show(store, cancelled)
        assert.deepStrictEqual([over.place, over.history[0]!.reason], ["cancelled", "not wanted"])
      })
    )
  )

  it.effect("is interrupted at once when its job is cancelled from outside, its finalizers first [LK-G5]", () =>
    inWorld(
      Effect.fnUntraced(function* ({ store, wakeup, worker }) {
        const finalized = yield* Ref.make(false)
        const { id } = yield* Work.enqueue({ n: 0 })
        yield* worker(Work.handle(() => Effect.ensuring(Effect.never, Ref.set(finalized, true))))
        yield* store.cancel(id, "changed my mind")
        assert.deepStrictEqual(yield* store.place(id), Option.some("running"))
        yield* wakeup.pokeBeat
        yield* elapse(0)
        const { history, place } = yield* show(store, id)
        assert.deepStrictEqual([place, history.at(-1)!.reason], ["cancelled", "changed my mind"])
        assert.isTrue(yield* Ref.get(finalized))
      })
    )
  )

  it.effect("hears of a cancel with the next beat, when nobody pokes [LK-G5]", () =>
    inWorld(
      Effect.fnUntraced(function* ({ store, worker }) {
        const { id } = yield* Work.enqueue({ n: 0 })
        yield* worker(Work.handle(() => Effect.never))
        yield* store.cancel(id, "changed my mind")
        yield* elapse("5 seconds")
        assert.deepStrictEqual(yield* store.place(id), Option.some("cancelled"))
      })
    )
  )

  it.effect("fails when it runs longer than its timeout, of the kind or of the job [LK-G5]", () =>
    inWorld(
      Effect.fnUntraced(function* ({ store, worker }) {
        const Slow = Job.make("slow", { payload: {}, timeout: "10 seconds" })
        const { id } = yield* Slow.enqueue({})
        const { id: longer } = yield* Slow.enqueue({}, { timeout: "20 seconds" })
        yield* worker(Slow.handle(() => Effect.never))
        yield* elapse("10 seconds")
        assert.deepInclude((yield* last(store, id)).error, { _tag: "Timeout" })
        assert.strictEqual((yield* show(store, id)).failures, 1)
        assert.deepStrictEqual(yield* store.place(longer), Option.some("running"))
        yield* elapse("10 seconds")
        assert.deepStrictEqual(yield* store.place(longer), Option.some("scheduled"))
      })
    )
  )

  it.effect("is ended by its worker at its hard deadline, before a lane has to [LK-G5, LK-C4]", () =>
    inWorld(
      Effect.fnUntraced(function* ({ store, worker }) {
        const { id } = yield* Work.enqueue({ n: 0 }, { deadline: "1 minute", timeout: "1 hour" })
        yield* worker(Work.handle(() => Effect.never))
        yield* elapse("1 minute")
        const { crashes, failures, history } = yield* show(store, id)
        assert.deepStrictEqual([failures, crashes], [1, 0])
        assert.include((history[0]!.error as { message: string }).message, "hard deadline, 1m")
      })
    )
  )

  it.effect("is not begun when its job has expired", () =>
    inWorld(
      Effect.fnUntraced(function* ({ store, worker }) {
        const ran = yield* Ref.make(0)
        const { id } = yield* Work.enqueue({ n: 0 }, { expiresAt: 5_000 })
        yield* elapse("6 seconds")
        yield* worker(Work.handle(() => Ref.set(ran, 1)))
        assert.deepStrictEqual(yield* store.place(id), Option.some("cancelled"))
        assert.strictEqual(yield* Ref.get(ran), 0)
      })
    )
  )

  it.effect("goes on with a job that has begun once, although it has expired since", () =>
    inWorld(
      Effect.fnUntraced(function* ({ store, worker }) {
        const { id } = yield* Work.enqueue({ n: 0 }, { expiresAt: 5_000 })
        yield* worker(Work.handle((_, { attempt }) => (attempt === 1 ? Attempt.snooze("1 minute") : Effect.void)))
        yield* elapse("1 minute")
        yield* store.promote({ limit: 10 })
        yield* elapse("1 second")
        assert.deepStrictEqual(yield* store.place(id), Option.some("completed"))
      })
    )
  )

  it.effect("knows its job: id, number, tags, metadata, and has a scope of its own", () =>
    inWorld(
      Effect.fnUntraced(function* ({ worker }) {
        const seen = yield* Ref.make<ReadonlyArray<unknown>>([])
        const closed = yield* Ref.make(0)
        const { id } = yield* Work.enqueue({ n: 0 }, { tags: ["a"], metadata: { tenant: 7 }, key: "k", priority: 2 })
        yield* worker(
          Work.handle(
            Effect.fn(function* (_, { attempt, failures, id, key, kind, metadata, priority, queue, tags }) {
              yield* Effect.addFinalizer(() => Ref.update(closed, (n) => n + 1))
              yield* Ref.set(seen, [id, kind, queue, priority, attempt, failures, key, tags, metadata])
            })
          )
        )
        assert.deepStrictEqual(yield* Ref.get(seen), [id, "work", "default", 2, 1, 0, "k", ["a"], { tenant: 7 }])
        assert.strictEqual(yield* Ref.get(closed), 1)
      })
    )
  )

  it.effect("completes its job in a transaction of its own, and learns when the job is another's [LK-G2]", () =>
    inWorld(
      Effect.fnUntraced(function* ({ store, worker }) {
        const lost = yield* Ref.make<ReadonlyArray<string>>([])
        const { id } = yield* Work.enqueue({ n: 0 })
        const { id: taken } = yield* Work.enqueue({ n: 1 }, { deadline: "1 hour" })
        yield* worker(
          Work.handle(
            Effect.fn(function* ({ n }, attempt) {
              if (n === 0) {
                yield* store.atomically(attempt.complete())
                return yield* Effect.never
              }
              yield* Effect.sleep("30 seconds")
              yield* attempt.complete().pipe(Effect.tapError((error) => Ref.set(lost, [error._tag])))
            })
          ),
          { heartbeat: Duration.hours(1), staleAfter: Duration.hours(9) }
        )
        assert.deepStrictEqual(yield* store.place(id), Option.some("completed"))
        yield* store.cancel(taken, "by hand")
        yield* store.rescueOverdue({ limit: 10, crashBudget: 3 })
        const [rescued] = (yield* store.workers).map((row) => row.id)
        yield* store.declareDead(rescued!, 1)
        yield* store.rescueWorker(rescued!, { limit: 10, crashBudget: 3 })
        yield* elapse("30 seconds")
        assert.deepStrictEqual(yield* Ref.get(lost), ["AttemptLost"])
      })
    )
  )

  it.effect("keeps an output that is too large out of the store, and says so", () =>
    inWorld(
      Effect.fnUntraced(function* ({ store, worker }) {
        const Big = Job.make("big", { payload: {}, output: Schema.String, maxPayloadBytes: 1_000 })
        const { id } = yield* Big.enqueue({})
        yield* worker(Big.handle(() => Effect.succeed("x".repeat(2_000))))
        const { history, place } = yield* show(store, id)
        assert.deepStrictEqual(
          [place, history[0]!.reason],
          ["dead", "its output has 2002 bytes, and at most 1000 are kept"]
        )
      })
    )
  )

  it.effect("is refused two handlers of one kind at start [LK-A7]", () =>
    inWorld(
      Effect.fnUntraced(function* ({ worker }) {
        const twice = Layer.merge(
          Work.handle(() => Effect.void),
          Work.handle(() => Effect.never)
        )
        const fault = yield* Effect.flip(Effect.catchDefect(worker(twice), (defect) => Effect.fail(defect as Error)))
        assert.include(fault.message, `The kind "work" has two handlers here`)
      })
    )
  )

  it.effect("says at start that a kind has no handler, or that options cannot be, all faults at once [LK-A7]", () =>
    inWorld(
      Effect.fnUntraced(function* ({ worker }) {
        const faults = yield* Effect.flip(
          Effect.catchDefect(
            worker(
              Work.handle(() => Effect.void),
              { jobs: [Charge], concurrency: 0, pollInterval: "1 millis" }
            ),
            (defect) => Effect.fail(defect as Error)
          )
        )
        assert.deepStrictEqual(faults.message.split("\n"), [
          `The kind "charge" has no handler here: provide the layer of its \`handle\``,
          "concurrency (LANEKEEPER_CONCURRENCY) is 0: it is a whole number from 1 to 10,000",
          "The concurrency of the queue default is 0: it is a whole number from 1 to 10,000",
          "pollInterval (LANEKEEPER_POLL_INTERVAL) is 1ms: it is at least 50ms, and finite"
        ])
        const none = yield* Effect.flip(
          Effect.catchDefect(worker(Layer.empty as never), (defect) => Effect.fail(defect as Error))
        )
        assert.include(none.message, "There is no handler: provide the layers")
      })
    )
  )
})
