/** What goes wrong around a worker at the worst moment, and that no job is lost, stuck or run twice by it. */
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Ref from "effect/Ref"
import * as Schema from "effect/Schema"
import * as SchemaGetter from "effect/SchemaGetter"
import { ConstraintError, LockTimeoutError, SqlError } from "effect/sql/SqlError"
import type { Outcome } from "../../src/dispatch/Outcomes.ts"
import * as Job from "../../src/Job.ts"
import type { ClaimOptions, Store } from "../../src/store/Store.ts"
import { away, elapse, inWorld, Work } from "./world.ts"

const idle = Work.handle(() => Effect.void)

const many = (n: number) => Work.enqueueMany(Array.from({ length: n }, (_, index) => ({ n: index })))

const count = (store: Store["Service"], place: "ready" | "running" | "completed" | "dead" | "scheduled") =>
  Effect.map(store.page({ place, limit: 1_000 }), (page) => page.length)

const show = (store: Store["Service"], id: Parameters<Store["Service"]["show"]>[0]) =>
  Effect.map(store.show(id), Option.getOrThrow)

describe("A job that cannot be built or handled", () => {
  it.effect("is dead when what upgrades its payload throws, and the worker goes on [LK-G10]", () =>
    inWorld(
      Effect.fnUntraced(function* ({ store, worker }) {
        const Grown = Job.make("grown", {
          payload: { n: Schema.Int },
          version: 2,
          upgrade: () => {
            throw new TypeError("no such field")
          }
        })
        const [bad] = yield* store.enqueue([{ kind: "grown", queue: "default", priority: 5, payload: { m: 1 } }])
        yield* worker(Grown.handle(() => Effect.void))
        const dead = yield* show(store, bad!)
        assert.strictEqual(dead.place, "dead")
        assert.include(dead.history[0]!.reason, "no such field")
        const { id } = yield* Grown.enqueue({ n: 1 })
        yield* elapse("1 second")
        assert.deepStrictEqual(yield* store.place(id), Option.some("completed"))
      })
    )
  )

  it.effect("is dead when its Schema throws, and is not tried for ever [LK-G10]", () =>
    inWorld(
      Effect.fnUntraced(function* ({ store, watched, worker }) {
        const Throws = Schema.String.pipe(
          Schema.decodeTo(Schema.Unknown, {
            decode: SchemaGetter.transform((text: string) => JSON.parse(text) as unknown),
            encode: SchemaGetter.transform(() => "")
          })
        )
        const Parsed = Job.make("parsed", { payload: { text: Throws } })
        const [bad] = yield* store.enqueue([{ kind: "parsed", queue: "default", priority: 5, payload: { text: "{" } }])
        yield* worker(Parsed.handle(() => Effect.void))
        yield* elapse("1 second")
        assert.isBelow(watched.count("finish"), 3)
        assert.strictEqual((yield* show(store, bad!)).place, "dead")
      })
    )
  )

  it.effect("counts a failure when its handler gives back what is no Effect [LK-G3]", () =>
    inWorld(
      Effect.fnUntraced(function* ({ store, watched, worker }) {
        const { id } = yield* Work.enqueue({ n: 0 })
        yield* worker(Work.handle((() => Promise.resolve()) as never))
        yield* elapse("100 millis")
        assert.isBelow(watched.count("finish"), 3)
        const { failures, place } = yield* show(store, id)
        assert.deepStrictEqual([place, failures], ["scheduled", 1])
      })
    )
  )

  it.effect("counts a failure when its policy makes no sense [LK-G3]", () =>
    inWorld(
      Effect.fnUntraced(function* ({ store, watched, worker }) {
        class Odd extends Schema.TaggedError<Odd>()("Odd", {}) {}
        const decisions = [null, { after: "soon" }, { after: -1 }, { after: Infinity }]
        for (const [n, decision] of decisions.entries()) {
          const Sour = Job.make(`sour-${n}`, { payload: {}, failure: Odd, onFailure: () => decision as never })
          const { id } = yield* Sour.enqueue({})
          const { abort } = yield* worker(Sour.handle(() => Effect.fail(new Odd())))
          yield* elapse("100 millis")
          yield* abort
          const { failures, place } = yield* show(store, id)
          assert.deepStrictEqual([place, failures], ["scheduled", 1], JSON.stringify(decision))
        }
        assert.isBelow(watched.count("finish"), 10)
      })
    )
  )
})

describe("A worker that claims", () => {
  it.effect("looks into each queue every poll interval, however busy another one keeps it [LK-F3]", () =>
    inWorld(
      Effect.fnUntraced(function* ({ store, worker }) {
        const Rare = Job.make("rare", { payload: {}, queue: "rare" })
        yield* many(5_000)
        yield* worker(
          Layer.merge(
            Work.handle(() => Effect.sleep("10 millis")),
            Rare.handle(() => Effect.void)
          ),
          { concurrency: 2 }
        )
        // Nobody says so: its transaction was open for long, or its notification was lost.
        const [id] = yield* store.enqueue([{ kind: "rare", queue: "rare", priority: 5, payload: {} }])
        yield* Effect.forEach(Array.from({ length: 110 }), () => elapse("10 millis"), { discard: true })
        assert.isAbove(yield* count(store, "ready"), 100, "the other queue is still busy")
        assert.deepStrictEqual(yield* store.place(id!), Option.some("completed"))
      })
    )
  )

  it.effect("asks less and less often for what others keep locked [LK-F10]", () =>
    inWorld(
      Effect.fnUntraced(function* ({ store, watched, worker }) {
        watched.answer = (name) => (name === "claim" ? { jobs: [], found: "contended" } : undefined)
        yield* worker(idle)
        yield* elapse("10 seconds")
        assert.isBelow(watched.count("claim"), 30)
        watched.answer = () => undefined
        const { id } = yield* Work.enqueue({ n: 0 })
        yield* elapse("1 second")
        assert.deepStrictEqual(yield* store.place(id), Option.some("completed"))
      })
    )
  )

  it.effect("asks for no job on the brink while it holds one that has not begun [LK-C2]", () =>
    inWorld(
      Effect.fnUntraced(function* ({ store, wakeup, watched, worker }) {
        yield* many(1)
        for (let crash = 0; crash < 2; crash++) {
          const vanished = yield* store.register("vanished")
          yield* store.claim({ worker: vanished, kinds: ["work"], queues: [{ queue: "default", limit: 1 }] })
          yield* store.declareDead(vanished, 0)
          yield* store.rescueWorker(vanished, { limit: 1, crashBudget: 3 })
        }
        const other = yield* store.register("other")
        const { jobs } = yield* store.claim({
          worker: other,
          kinds: ["work"],
          queues: [{ queue: "default", limit: 0, ahead: 1 }]
        })
        watched.calls.length = 0
        watched.answer = (name) =>
          name === "claim" && watched.count("claim") === 1 ? { jobs, found: "full" } : undefined
        watched.before = (name) => (name === "begin" ? Effect.never : Effect.void)
        yield* worker(idle)
        yield* wakeup.poke(["default"])
        yield* elapse("10 millis")
        const rooms = (watched.of("claim") as ReadonlyArray<ClaimOptions>).map(({ brink }) => brink?.room)
        assert.deepStrictEqual([...new Set(rooms)], [1, 0])
      })
    )
  )

  it.effect("starts nothing that was claimed under an identity that is dead by now [LK-C8]", () =>
    inWorld(
      Effect.fnUntraced(function* ({ store, watched, worker }) {
        const runs = yield* Ref.make(0)
        const answer = yield* Deferred.make<void>()
        const back = yield* Deferred.make<void>()
        yield* many(1)
        watched.after = (name) => (name === "claim" ? Deferred.await(answer) : Effect.void)
        yield* worker(
          Work.handle((_, { attempt }) =>
            Effect.andThen(
              Ref.update(runs, (n) => n + 1),
              attempt > 1 ? Effect.void : Effect.never
            )
          )
        )
        assert.strictEqual(yield* count(store, "running"), 1)
        const { beats, id } = (yield* store.workers)[0]!
        yield* store.declareDead(id, beats)
        watched.before = (name) => (name === "register" ? Deferred.await(back) : Effect.void)
        yield* elapse("5 seconds")
        yield* Deferred.succeed(answer, undefined) // while it is joining again
        yield* elapse("1 second")
        yield* store.rescueWorker(id, { limit: 10, crashBudget: 3 })
        yield* Deferred.succeed(back, undefined)
        yield* elapse("2 seconds")
        assert.strictEqual(yield* count(store, "completed"), 1)
        assert.strictEqual(yield* Ref.get(runs), 1)
      })
    )
  )
})

describe("A worker's outcomes", () => {
  it.effect("are not lost when the database goes away while a bad one is looked for [LK-G9]", () =>
    inWorld(
      Effect.fnUntraced(function* ({ store, watched, worker }) {
        yield* many(5)
        const runs = yield* Ref.make(0)
        const refused = new SqlError({
          reason: new ConstraintError({ cause: Object.assign(new Error("too deep"), { code: "54001" }) })
        })
        let isAway = true
        watched.before = (name) => {
          if (name !== "finish") return Effect.void
          const ends = watched.of("finish").at(-1) as unknown as ReadonlyArray<Outcome>
          const has = (n: number) => ends.some(({ claimed }) => (claimed.payload as { n: number }).n === n)
          if (has(0) && ends[0]!.ending._tag === "Completed") return Effect.fail(refused)
          return isAway && has(3) ? Effect.fail(away) : Effect.void
        }
        yield* worker(Work.handle(() => Ref.update(runs, (n) => n + 1)))
        yield* elapse("2 seconds")
        isAway = false
        yield* elapse("30 seconds")
        assert.strictEqual(yield* count(store, "completed"), 4)
        assert.strictEqual(yield* count(store, "dead"), 1)
        assert.strictEqual(yield* Ref.get(runs), 5)
      })
    )
  )

  it.effect("wait for a lease that somebody keeps, and those of other leases do not [LK-G9]", () =>
    inWorld(
      Effect.fnUntraced(function* ({ store, watched, worker }) {
        const { id: retries } = yield* Work.enqueue({ n: 0 })
        const busy = new SqlError({
          reason: new LockTimeoutError({ cause: Object.assign(new Error("lock timeout"), { code: "55P03" }) })
        })
        let isKept = true
        watched.before = (name) => {
          const ends = watched.of("finish").at(-1) as unknown as ReadonlyArray<Outcome>
          return name === "finish" && isKept && ends.some(({ claimed }) => claimed.id === retries)
            ? Effect.andThen(Effect.sleep("2 seconds"), Effect.fail(busy))
            : Effect.void
        }
        yield* worker(Work.handle(() => Effect.void))
        yield* elapse("5 seconds")
        yield* many(300)
        yield* elapse("10 seconds")
        assert.strictEqual(yield* count(store, "completed"), 300)
        assert.deepStrictEqual(yield* store.place(retries), Option.some("running"))
        isKept = false
        yield* elapse("5 seconds")
        assert.strictEqual(yield* count(store, "completed"), 301)
      })
    )
  )

  it.effect("are written at the end although what is held cannot be given back [LK-A11]", () =>
    inWorld(
      Effect.fnUntraced(function* ({ watched, worker }) {
        const slow = yield* Ref.make(false)
        yield* many(400)
        const { abort } = yield* worker(
          Work.handle(() => Effect.flatMap(Ref.get(slow), (isSlow) => Effect.sleep(isSlow ? "1 hour" : "1 millis"))),
          { concurrency: 2 }
        )
        yield* elapse("100 millis")
        yield* Ref.set(slow, true)
        yield* elapse("10 millis")
        watched.before = (name) => {
          if (name === "release") return Effect.fail(away)
          return name === "finish" ? Effect.sleep("1 second") : Effect.void
        }
        const fiber = yield* Effect.forkChild(abort)
        yield* elapse("20 seconds")
        yield* Fiber.join(fiber)
        const given = watched.of("finish").at(-1) as unknown as ReadonlyArray<Outcome>
        assert.isAtLeast(given.filter(({ ending }) => ending._tag === "Released").length, 2)
      })
    )
  )
})

describe("A worker whose handlers cannot be interrupted", () => {
  it.effect("goes on to beat until they have ended, and writes what came of them [LK-A11]", () =>
    inWorld(
      Effect.fnUntraced(function* ({ store, watched, worker }) {
        yield* many(1)
        const { isOver, stop } = yield* worker(
          Work.handle(() => Effect.uninterruptible(Effect.sleep("2 minutes"))),
          { drain: "1 second" }
        )
        yield* stop
        yield* elapse("1 minute")
        assert.isFalse(isOver())
        const beats = watched.count("beat")
        yield* elapse("30 seconds")
        assert.isAbove(watched.count("beat"), beats + 3)
        yield* elapse("1 minute")
        assert.isTrue(isOver())
        assert.strictEqual(yield* count(store, "running"), 0)
        assert.deepStrictEqual(yield* store.workers, [])
      })
    )
  )
})

describe("An attempt that is completed in its handler's transaction", () => {
  it.effect("is still interrupted when that is rolled back and the lease is lost [LK-G2]", () =>
    inWorld(
      Effect.fnUntraced(function* ({ store, worker }) {
        const interrupted = yield* Ref.make(0)
        const { id } = yield* Work.enqueue({ n: 0 })
        yield* worker(
          Work.handle(
            Effect.fn(function* (_, attempt) {
              if (attempt.attempt > 1) return
              yield* Effect.ignore(store.atomically(Effect.andThen(attempt.complete(), Effect.fail("rolled back"))))
              return yield* Effect.onInterrupt(Effect.never, () => Ref.update(interrupted, (n) => n + 1))
            })
          )
        )
        assert.deepStrictEqual(yield* store.place(id), Option.some("running"))
        const { id: self } = (yield* store.workers)[0]!
        yield* store.release(self, (yield* store.beat(self)).leases)
        yield* elapse("10 seconds")
        assert.strictEqual(yield* Ref.get(interrupted), 1)
        assert.deepStrictEqual(yield* store.place(id), Option.some("completed"))
      })
    )
  )

  it.effect("is over when it is interrupted after that: nothing is refused, and nothing said of it", () =>
    inWorld(
      Effect.fnUntraced(function* ({ lines, store, worker }) {
        const { id } = yield* Work.enqueue({ n: 0 })
        const { ended, stop } = yield* worker(
          Work.handle((_, attempt) => Effect.andThen(attempt.complete(), Effect.never)),
          { drain: Duration.zero }
        )
        yield* stop
        yield* elapse("1 second")
        yield* ended
        assert.deepStrictEqual(yield* store.place(id), Option.some("completed"))
        assert.isFalse(lines.some((line) => line.includes("came too late")))
      })
    )
  )
})
