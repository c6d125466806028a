/** The testing kit, as a user of it would write tests. */
import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Ref from "effect/Ref"
import * as Schema from "effect/Schema"
import * as Attempt from "../../src/Attempt.ts"
import * as Job from "../../src/Job.ts"
import { layerMaintenanceOnly } from "../../src/roles/maintenance.ts"
import { layerWorker } from "../../src/roles/worker.ts"
import { Store } from "../../src/store/Store.ts"
import * as JobsTest from "../../src/testkit/JobsTest.ts"
import { LeaderElection } from "../../src/LeaderElection.ts"

class Bounced extends Schema.TaggedError<Bounced>()("Bounced", { address: Schema.String }) {}

const SendEmail = Job.make("send-email", {
  payload: { to: Schema.String, subject: Schema.String },
  output: Schema.Struct({ messageId: Schema.String }),
  failure: Bounced,
  onFailure: { Bounced: "dead" }
})
const Welcome = Job.make("welcome", { payload: { user: Schema.String }, queue: "onboarding" })

class Mailer extends Context.Service<Mailer, { readonly sent: Ref.Ref<ReadonlyArray<string>> }>()("test/Mailer") {
  static readonly layer = Layer.effect(
    this,
    Effect.map(Ref.make<ReadonlyArray<string>>([]), (sent) => ({ sent }))
  )
}

const Email = SendEmail.handle(
  Effect.fn(function* ({ to }) {
    if (to === "nobody") return yield* new Bounced({ address: to })
    yield* Ref.update((yield* Mailer).sent, (sent) => [...sent, to])
    return { messageId: `message to ${to}` }
  })
)
const Welcoming = Welcome.handle(
  Effect.fn(function* ({ user }, { attempt }) {
    if (user === "early" && attempt === 1) return yield* Attempt.snooze("1 hour")
    yield* SendEmail.enqueue({ to: user, subject: "Welcome" }).pipe(Effect.orDie)
  })
)

const App = Layer.merge(Email, Welcoming).pipe(Layer.provideMerge(Mailer.layer), Layer.provideMerge(JobsTest.layer))

const sent = Effect.flatMap(Mailer, ({ sent }) => Ref.get(sent))

describe("JobsTest", () => {
  it.effect("asserts what was enqueued, by fields or by a predicate, and says what is there instead [LK-O3]", () =>
    Effect.gen(function* () {
      yield* SendEmail.enqueue({ to: "a", subject: "Thanks" })
      yield* SendEmail.enqueue({ to: "b", subject: "Later" }, { delay: "1 hour" })
      const found = yield* JobsTest.assertEnqueued(SendEmail, { to: "b" })
      assert.strictEqual(found.place, "scheduled")
      assert.strictEqual(found.payload.subject, "Later")
      yield* JobsTest.assertEnqueued(SendEmail, ({ subject }) => subject.startsWith("Th"))
      const error = yield* Effect.flip(JobsTest.assertEnqueued(SendEmail, { to: "c" }))
      assert.include(error.message, `there are only {"to":"a","subject":"Thanks"}`)
      assert.strictEqual((yield* JobsTest.enqueued(SendEmail)).length, 2)
      assert.deepStrictEqual(yield* JobsTest.enqueued(Welcome), [])
    }).pipe(Effect.provide(App))
  )

  it.effect("runs one job, of the kind that is asked for, and answers how it ended [LK-O3]", () =>
    Effect.gen(function* () {
      yield* Welcome.enqueue({ user: "a" })
      yield* SendEmail.enqueue({ to: "b", subject: "Hello" })
      const ran = Option.getOrThrow(yield* JobsTest.runOne(SendEmail))
      assert.strictEqual(ran.place, "completed")
      assert.deepStrictEqual(ran.history.at(-1)?.output, { messageId: "message to b" })
      assert.deepStrictEqual(yield* sent, ["b"])
      assert.isTrue(Option.isNone(yield* JobsTest.runOne(SendEmail)))
      yield* JobsTest.assertEnqueued(Welcome, { user: "a" })
    }).pipe(Effect.provide(App))
  )

  it.effect("drains what is ready and what that makes ready, in order [LK-O3]", () =>
    Effect.gen(function* () {
      yield* Welcome.enqueueMany([{ user: "a" }, { user: "b" }])
      const ran = yield* JobsTest.drain
      assert.deepStrictEqual(
        ran.map(({ kind, place }) => `${kind} ${place}`),
        ["welcome completed", "welcome completed", "send-email completed", "send-email completed"]
      )
      assert.deepStrictEqual(yield* sent, ["a", "b"])
      assert.strictEqual((yield* JobsTest.counts).completed, 4)
    }).pipe(Effect.provide(App))
  )

  it.effect("lets time pass: what is due becomes ready, what was snoozed comes back [LK-O3, LK-O1]", () =>
    Effect.gen(function* () {
      const { id } = yield* Welcome.enqueue({ user: "early" }, { delay: "1 day" })
      assert.deepStrictEqual(yield* JobsTest.drain, [])
      yield* JobsTest.advance("1 day")
      yield* JobsTest.drain
      yield* JobsTest.expectOutcome(id, "scheduled")
      yield* JobsTest.advance("1 hour")
      yield* JobsTest.drain
      const { failures } = yield* JobsTest.expectOutcome(id, "completed")
      assert.strictEqual(failures, 0)
      assert.deepStrictEqual(yield* sent, ["early"])
    }).pipe(Effect.provide(App))
  )

  it.effect("expects an outcome, and says what became of the job instead [LK-O3]", () =>
    Effect.gen(function* () {
      const { id } = yield* SendEmail.enqueue({ to: "nobody", subject: "?" })
      yield* JobsTest.drain
      yield* JobsTest.expectOutcome(id, "dead")
      const error = yield* Effect.flip(JobsTest.expectOutcome(id, "completed"))
      assert.include(error.message, `to be completed, but it is dead: not to be tried again`)
    }).pipe(Effect.provide(App))
  )

  it.effect("makes jobs of any age [LK-O3]", () =>
    Effect.gen(function* () {
      const { id } = yield* JobsTest.ago("3 days", SendEmail.enqueue({ to: "a", subject: "Old" }))
      const { id: due } = yield* JobsTest.ago("3 days", Welcome.enqueue({ user: "b" }, { delay: "2 days" }))
      yield* JobsTest.ago("2 days", JobsTest.drain)
      const old = yield* JobsTest.expectOutcome(id, "completed")
      assert.strictEqual(old.enqueuedAt.epochMilliseconds, -3 * 86_400_000)
      yield* JobsTest.expectOutcome(due, "scheduled")
      yield* JobsTest.advance(0)
      yield* JobsTest.expectOutcome(due, "ready")
    }).pipe(Effect.provide(App))
  )

  it.effect("says that a kind has no handler, and that a handler never comes to an end", () =>
    Effect.gen(function* () {
      const Loop = Job.make("loop", { payload: {} })
      yield* Loop.enqueue({})
      const missing = yield* Effect.flip(Effect.provide(JobsTest.runOne(Loop), Layer.empty))
      assert.include(missing.message, `none is provided`)
      const Looping = Loop.handle(() => Effect.asVoid(Effect.orDie(Loop.enqueue({}))))
      const endless = yield* Effect.flip(Effect.provide(JobsTest.drain, Looping))
      assert.include(endless.message, "does a handler enqueue itself?")
    }).pipe(Effect.provide(JobsTest.layer))
  )

  it.effect("runs a worker and lanes beside the test, and lets another process lead [LK-O1, LK-O3]", () =>
    Effect.gen(function* () {
      const election = yield* LeaderElection
      yield* JobsTest.advance("1 second")
      const first = Option.getOrThrow(yield* election.term)
      yield* JobsTest.failOver
      yield* JobsTest.advance("10 seconds")
      const second = Option.getOrThrow(yield* election.term)
      assert.isTrue(second > first)

      const { id } = yield* SendEmail.enqueue({ to: "a", subject: "Hi" }, { delay: "1 minute" })
      yield* JobsTest.advance("61 seconds")
      yield* JobsTest.expectOutcome(id, "completed")
      const store = yield* Store
      assert.strictEqual((yield* store.leader).term, second)
    }).pipe(Effect.provide(Layer.merge(layerWorker(), layerMaintenanceOnly()).pipe(Layer.provideMerge(App))))
  )
})
