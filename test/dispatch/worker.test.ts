/** How a worker stays alive, loses what is no longer its own, keeps what it has to say, and ends. */
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as PubSub from "effect/PubSub"
import * as Ref from "effect/Ref"
import { ConstraintError, SqlError } from "effect/sql/SqlError"
import type { Outcome } from "../../src/dispatch/Outcomes.ts"
import type { Store } from "../../src/store/Store.ts"
import { away, elapse, inWorld, Work } from "./world.ts"

const forever = Work.handle(() => Effect.never)
const idle = Work.handle(() => Effect.void)

const many = (n: number) => Work.enqueueMany(Array.from({ length: n }, (_, index) => ({ n: index })))

const count = (store: Store["Service"], place: "ready" | "running" | "completed" | "dead") =>
  Effect.map(store.page({ place, limit: 1_000 }), (page) => page.length)

describe("A worker that is told to stop", () => {
  it.effect("stops claiming, tells its attempts, waits for them, and leaves [LK-A11]", () =>
    inWorld(
      Effect.fnUntraced(function* ({ store, watched, worker }) {
        yield* many(3)
        const { isOver, stop } = yield* worker(
          Work.handle((_, { stopping }) => Effect.andThen(stopping, Effect.sleep("5 seconds"))),
          { concurrency: 2 }
        )
        yield* elapse("1 minute")
        assert.strictEqual(yield* count(store, "running"), 2)
        const claims = watched.count("claim")
        yield* stop
        yield* elapse("4 seconds")
        assert.isFalse(isOver())
        yield* elapse("1 second")
        assert.isTrue(isOver())
        assert.strictEqual(yield* count(store, "completed"), 2)
        assert.strictEqual(watched.count("claim"), claims)
        assert.deepStrictEqual(yield* store.workers, [])
      })
    )
  )

  it.effect("interrupts what does not end in time, and gives it back at once, uncounted and woken for [LK-A11]", () =>
    inWorld(
      Effect.fnUntraced(function* ({ store, wakeup, worker }) {
        const finalized = yield* Ref.make(0)
        yield* many(3)
        const { isOver, stop } = yield* worker(
          Work.handle(() =>
            Effect.ensuring(
              Effect.never,
              Ref.update(finalized, (n) => n + 1)
            )
          ),
          { drain: "20 seconds" }
        )
        const pokes = yield* wakeup.pokes
        yield* stop
        yield* elapse("20 seconds")
        assert.isTrue(isOver())
        assert.strictEqual(yield* Ref.get(finalized), 3)
        const ready = yield* store.page({ place: "ready", limit: 10 })
        assert.strictEqual(ready.length, 3)
        for (const { crashes, failures } of ready) assert.deepStrictEqual([failures, crashes], [0, 0])
        assert.deepStrictEqual(new Set(yield* PubSub.takeAll(pokes)), new Set([{ queue: "default" }]))
      })
    )
  )

  it.effect("waits for nothing when it is interrupted instead [LK-A11]", () =>
    inWorld(
      Effect.fnUntraced(function* ({ store, worker }) {
        yield* many(2)
        const { abort, stop } = yield* worker(forever, { drain: "1 hour" })
        yield* stop
        yield* elapse("1 minute")
        assert.strictEqual(yield* count(store, "running"), 2)
        yield* abort
        assert.strictEqual(yield* count(store, "ready"), 2)
        assert.deepStrictEqual(yield* store.workers, [])
      })
    )
  )

  it.effect("gives back the jobs of a claim that is on its way [LK-A11]", () =>
    inWorld(
      Effect.fnUntraced(function* ({ store, watched, worker }) {
        const answer = yield* Deferred.make<void>()
        watched.before = (name) => (name === "claim" ? Deferred.await(answer) : Effect.void)
        yield* many(2)
        const { isOver, stop } = yield* worker(forever)
        yield* stop
        yield* elapse(0)
        assert.isFalse(isOver())
        yield* Deferred.succeed(answer, undefined)
        yield* elapse(0)
        assert.isTrue(isOver())
        assert.strictEqual(yield* count(store, "ready"), 2)
      })
    )
  )

  it.effect("leaves without a word when the database is away, whatever it holds", () =>
    inWorld(
      Effect.fnUntraced(function* ({ lines, watched, worker }) {
        yield* many(2)
        const { isOver, stop } = yield* worker(forever, { drain: "1 second" })
        watched.before = () => Effect.fail(away)
        yield* stop
        yield* elapse("1 minute")
        assert.isTrue(isOver())
        assert.isTrue(lines.some((line) => line.includes("it will be rescued")))
      })
    )
  )

  it.effect("ends before it could join", () =>
    inWorld(
      Effect.fnUntraced(function* ({ watched, worker }) {
        watched.before = () => Effect.fail(away)
        const { isOver, stop } = yield* worker(forever)
        yield* elapse("1 minute")
        assert.isAbove(watched.count("register"), 10)
        yield* stop
        yield* elapse(0)
        assert.isTrue(isOver())
      })
    )
  )
})

describe("A worker's heartbeat", () => {
  it.effect("goes on every interval while handlers wait [LK-F7]", () =>
    inWorld(
      Effect.fnUntraced(function* ({ watched, worker }) {
        yield* many(10)
        yield* worker(forever)
        yield* elapse("60 seconds")
        assert.strictEqual(watched.count("beat"), 13)
      })
    )
  )

  it.effect("learns that it was declared dead: interrupts all, says nothing, and rejoins as another [LK-C8]", () =>
    inWorld(
      Effect.fnUntraced(function* ({ lines, store, watched, worker }) {
        yield* many(2)
        const interrupted = yield* Ref.make(0)
        yield* worker(
          Work.handle((_, { attempt }) =>
            attempt > 1 ? Effect.void : Effect.onInterrupt(Effect.never, () => Ref.update(interrupted, (n) => n + 1))
          )
        )
        const { beats, id: before } = (yield* store.workers)[0]!
        yield* store.declareDead(before, beats)
        yield* elapse("5 seconds")
        assert.strictEqual(yield* Ref.get(interrupted), 2)
        assert.strictEqual(watched.count("finish"), 0)
        assert.isTrue(lines.some((line) => line.includes("was declared dead")))
        assert.strictEqual(yield* count(store, "running"), 2)

        yield* store.rescueWorker(before, { limit: 10, crashBudget: 3 })
        yield* elapse("1 second")
        assert.strictEqual(yield* count(store, "completed"), 2)
        assert.strictEqual((yield* store.workers).filter(({ declaredDead }) => !declaredDead).length, 1)
      })
    )
  )

  it.effect("releases a lease whose claim never arrived within two beats [LK-C9]", () =>
    inWorld(
      Effect.fnUntraced(function* ({ store, worker }) {
        yield* worker(forever, { queues: { elsewhere: {} } })
        const { id } = (yield* store.workers)[0]!
        yield* many(1)
        yield* store.claim({ worker: id, kinds: ["work"], queues: [{ queue: "default", limit: 1 }] })
        yield* elapse("5 seconds")
        assert.strictEqual(yield* count(store, "running"), 1)
        yield* elapse("5 seconds")
        assert.strictEqual(yield* count(store, "ready"), 1)
      })
    )
  )

  it.effect("keeps a lease whose claim is on its way, for as long as it waits for it [LK-C9]", () =>
    inWorld(
      Effect.fnUntraced(function* ({ store, watched, worker }) {
        const answer = yield* Deferred.make<void>()
        watched.after = (name) => (name === "claim" ? Deferred.await(answer) : Effect.void)
        yield* many(1)
        yield* worker(idle, { heartbeat: Duration.millis(200) })
        yield* elapse("4 seconds")
        assert.strictEqual(yield* count(store, "running"), 1)
        assert.strictEqual(watched.count("release"), 0)
        yield* Deferred.succeed(answer, undefined)
        yield* elapse("1 second")
        assert.strictEqual(yield* count(store, "completed"), 1)
      })
    )
  )

  it.effect("gives up a claim that is never answered, and gives its jobs back [LK-C9, LK-P1]", () =>
    inWorld(
      Effect.fnUntraced(function* ({ store, watched, worker }) {
        watched.after = (name) => (name === "claim" && watched.count("claim") === 1 ? Effect.never : Effect.void)
        yield* many(1)
        yield* worker(idle)
        yield* elapse("9 seconds")
        assert.strictEqual(watched.count("claim"), 1)
        yield* elapse("15 seconds")
        assert.strictEqual(watched.count("release"), 1)
        assert.strictEqual(yield* count(store, "completed"), 1)
      })
    )
  )

  it.effect("sends an idle store about one statement a second [LK-F10]", () =>
    inWorld(
      Effect.fnUntraced(function* ({ watched, worker }) {
        yield* worker(idle)
        const before = watched.calls.length
        yield* elapse("10 minutes")
        assert.isAtMost((watched.calls.length - before) / 600, 1.25)
      })
    )
  )

  it.effect("interrupts an attempt whose lease was taken, and leaves the others alone [LK-C4]", () =>
    inWorld(
      Effect.fnUntraced(function* ({ store, worker }) {
        const { id } = yield* Work.enqueue({ n: 0 })
        const { id: other } = yield* Work.enqueue({ n: 1 }, { priority: 6 })
        const interrupted = yield* Ref.make<ReadonlyArray<number>>([])
        yield* worker(
          Work.handle(({ n }) => Effect.onInterrupt(Effect.never, () => Ref.update(interrupted, (all) => [...all, n]))),
          { concurrency: 2 }
        )
        const running = yield* store.page({ place: "running", limit: 10 })
        assert.strictEqual(running.length, 2)
        const { id: self } = (yield* store.workers)[0]!
        const { leases } = yield* store.beat(self)
        yield* store.release(self, [leases[0]!])
        yield* elapse("5 seconds")
        assert.deepStrictEqual(yield* Ref.get(interrupted), [0])
        assert.deepStrictEqual(yield* store.place(other), Option.some("running"))
        assert.isTrue(Option.isSome(yield* store.place(id)))
      })
    )
  )

  it.effect("interrupts everything before others could take it, when the store is silent for too long [LK-G9]", () =>
    inWorld(
      Effect.fnUntraced(function* ({ lines, store, watched, worker }) {
        yield* many(2)
        const interrupted = yield* Ref.make(0)
        yield* worker(
          Work.handle((_, { attempt }) =>
            attempt > 1 ? Effect.void : Effect.onInterrupt(Effect.never, () => Ref.update(interrupted, (n) => n + 1))
          )
        )
        watched.before = () => Effect.fail(away)
        yield* elapse("24 seconds")
        assert.strictEqual(yield* Ref.get(interrupted), 0)
        yield* elapse("5 seconds")
        assert.strictEqual(yield* Ref.get(interrupted), 2)
        assert.isTrue(lines.some((line) => line.includes("has not answered for so long")))
        watched.before = () => Effect.void
        yield* elapse("5 seconds")
        assert.strictEqual(yield* count(store, "completed"), 2)
        for (const { failures } of yield* store.page({ place: "completed", limit: 10 })) assert.strictEqual(failures, 0)
      })
    )
  )
})

describe("A worker whose beat hangs", () => {
  it.effect("interrupts everything in time, although the statement takes long to be cancelled [LK-G9]", () =>
    inWorld(
      Effect.fnUntraced(function* ({ store, watched, worker }) {
        yield* many(1)
        const interrupted = yield* Ref.make(0)
        const { isOver, stop } = yield* worker(
          Work.handle(() => Effect.onInterrupt(Effect.never, () => Ref.set(interrupted, 1)))
        )
        watched.before = (name) =>
          name === "beat" ? Effect.onInterrupt(Effect.never, () => Effect.sleep("5 seconds")) : Effect.void
        yield* elapse("24 seconds")
        assert.strictEqual(yield* Ref.get(interrupted), 0)
        yield* elapse("1 second")
        assert.strictEqual(yield* Ref.get(interrupted), 1)
        yield* stop
        yield* elapse("1 minute")
        assert.isTrue(isOver())
        assert.strictEqual(yield* count(store, "running"), 0)
      })
    )
  )
})

describe("A worker's outcomes", () => {
  it.effect("are written together with those that end meanwhile", () =>
    inWorld(
      Effect.fnUntraced(function* ({ store, watched, worker }) {
        yield* many(100)
        yield* worker(idle, { concurrency: 100 })
        assert.strictEqual(yield* count(store, "completed"), 100)
        assert.isAtMost(watched.count("finish"), 3)
      })
    )
  )

  it.effect(
    "are kept while the database is away, with the leases kept alive, and written when it is back [LK-G9]",
    () =>
      inWorld(
        Effect.fnUntraced(function* ({ lines, store, watched, worker }) {
          yield* many(5)
          watched.before = (name) => (name === "finish" ? Effect.fail(away) : Effect.void)
          yield* worker(idle)
          yield* elapse("5 minutes")
          assert.strictEqual(yield* count(store, "running"), 5)
          assert.isAtLeast(watched.count("beat"), 60)
          assert.strictEqual(lines.filter((line) => line.includes("could not be written and are kept")).length, 1)
          watched.before = () => Effect.void
          yield* elapse("2 seconds")
          assert.strictEqual(yield* count(store, "completed"), 5)
        })
      )
  )

  it.effect("stop the worker from claiming when too many cannot be written [LK-G9]", () =>
    inWorld(
      Effect.fnUntraced(function* ({ store, watched, worker }) {
        yield* many(3_000)
        watched.before = (name) => (name === "finish" ? Effect.fail(away) : Effect.void)
        yield* worker(idle, { concurrency: 100 })
        yield* elapse("5 minutes")
        const ready = yield* store.page({ place: "ready", limit: 3_000 })
        assert.isAbove(ready.length, 500)
        watched.before = () => Effect.void
        yield* elapse("10 seconds")
        const completed = yield* store.page({ place: "completed", limit: 3_000 })
        assert.strictEqual(completed.length, 3_000)
      })
    )
  )

  it.effect("let the worker claim again as soon as enough are written, without waiting for a poll [LK-F4, LK-G9]", () =>
    inWorld(
      Effect.fnUntraced(function* ({ watched, worker }) {
        watched.before = (name) => (name === "finish" ? Effect.sleep("10 millis") : Effect.void)
        yield* many(5_000)
        yield* worker(idle, { concurrency: 400, pollInterval: "1 hour" })
        yield* Effect.repeat(elapse("10 millis"), { times: 30 })
        const written = watched.of("finish").reduce((sum, outcomes: ReadonlyArray<unknown>) => sum + outcomes.length, 0)
        assert.strictEqual(written, 5_000)
      })
    )
  )

  it.effect("that come too late are refused, counted and logged, and harm nothing [LK-G1]", () =>
    inWorld(
      Effect.fnUntraced(function* ({ lines, store, worker }) {
        const { id } = yield* Work.enqueue({ n: 0 })
        yield* worker(
          Work.handle(() => Effect.sleep("10 seconds")),
          { heartbeat: Duration.hours(1), staleAfter: Duration.hours(9) }
        )
        const { beats, id: self } = (yield* store.workers)[0]!
        yield* store.declareDead(self, beats)
        yield* store.rescueWorker(self, { limit: 10, crashBudget: 0 })
        yield* elapse("10 seconds")
        assert.deepStrictEqual(yield* store.place(id), Option.some("dead"))
        assert.isTrue(lines.some((line) => line.includes("came too late and was refused")))
      })
    )
  )

  it.effect("that PostgreSQL will not have do not keep the others, and end their job", () =>
    inWorld(
      Effect.fnUntraced(function* ({ store, watched, worker }) {
        yield* many(5)
        const refused = new SqlError({
          reason: new ConstraintError({ cause: Object.assign(new Error("too deep"), { code: "54001" }) })
        })
        watched.before = (name) => {
          if (name !== "finish") return Effect.void
          const ends = watched.of("finish").at(-1) as unknown as ReadonlyArray<Outcome>
          const isBad = ends.some(
            ({ claimed, ending }) => (claimed.payload as { n: number }).n === 3 && ending._tag === "Completed"
          )
          return isBad ? Effect.fail(refused) : Effect.void
        }
        yield* worker(idle)
        yield* elapse("1 second")
        assert.strictEqual(yield* count(store, "completed"), 4)
        const [dead] = yield* store.page({ place: "dead", limit: 10 })
        assert.strictEqual(dead!.history.at(-1)!.reason, "its outcome could not be stored: too deep")
      })
    )
  )
})
