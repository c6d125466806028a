/** The producer's side, over both stores. */
import { PgClient } from "@effect/sql-pg/PgClient"
import { assert, describe, it, layer } from "@effect/vitest"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { Client } from "../src/Client.ts"
import * as Job from "../src/Job.ts"
import * as Lanekeeper from "../src/Lanekeeper.ts"
import { Store } from "../src/store/Store.ts"
import { TestDatabase } from "./support/TestDatabase.ts"

const SendEmail = Job.make("send-email", {
  payload: { to: Schema.String, subject: Schema.String, at: Schema.optionalKey(Schema.Date) },
  output: Schema.Struct({ messageId: Schema.String }),
  queue: "email",
  maxAttempts: 5,
  deadline: "1 hour"
})
const Note = Job.make("note", { payload: Schema.Finite })

const email = { to: "a@example.com", subject: "Thanks" }

/** Runs the next job of the queue as a worker would, with this ending. */
const runNext = Effect.fnUntraced(function* (kind: string, queue: string, output: unknown) {
  const store = yield* Store
  const worker = yield* store.register("worker")
  const [claimed] = (yield* store.claim({ worker, kinds: [kind], queues: [{ queue, limit: 1 }] })).jobs
  const { attempt, id, lease } = claimed!
  yield* store.finish(worker, [{ id, lease, attempt, ran: Duration.zero, ending: { _tag: "Completed", output } }])
  return claimed!
})

const onMemory = Lanekeeper.layerClient.pipe(Layer.provideMerge(Lanekeeper.layerMemory))
const onPostgres = Lanekeeper.layerClient.pipe(
  Layer.provideMerge(Lanekeeper.layerPostgres()),
  Layer.provideMerge(TestDatabase.layer)
)

type Test = (sentence: string, body: Effect.Effect<void, unknown, Client | Store>) => void

const Beep = Job.make("beep", { payload: Schema.Finite, keep: false })

const suite = (test: Test) => {
  test(
    "says with the job that nothing of it is kept, which the store reads when it is over [LK-D3]",
    Effect.gen(function* () {
      const store = yield* Store
      const { id } = yield* Beep.enqueue(1)
      const view = Option.getOrThrow(yield* (yield* Client).get(id))
      assert.deepStrictEqual(view.details, { keep: false })
      yield* runNext("beep", "default", undefined)
      assert.deepStrictEqual(yield* store.place(id), Option.some("completed"))
    })
  )

  test(
    "stores the payload as its Schema encodes it, with what the kind declares [LK-E3]",
    Effect.gen(function* () {
      const at = new Date("2026-01-02T03:04:05Z")
      const { id, outcome } = yield* SendEmail.enqueue({ ...email, at })
      assert.strictEqual(outcome, "enqueued")
      const view = Option.getOrThrow(yield* (yield* Client).get(id))
      assert.deepInclude(view, { kind: "send-email", queue: "email", priority: 5, place: "ready" })
      assert.deepStrictEqual(view.payload, { ...email, at: "2026-01-02T03:04:05.000Z" })
      assert.deepStrictEqual(view.details, { maxAttempts: 5 })
    })
  )

  test(
    "stores every option, over what the kind declares [LK-E4]",
    Effect.gen(function* () {
      const { id } = yield* SendEmail.enqueue(email, {
        delay: "5 minutes",
        priority: 1,
        queue: "bulk",
        key: "customer-7",
        tags: ["order"],
        metadata: { order: 12 },
        maxAttempts: 2,
        timeout: "10 seconds",
        deadline: "1 minute",
        expiresAt: new Date("2030-01-01T00:00:00Z")
      })
      const view = Option.getOrThrow(yield* (yield* Client).get(id))
      assert.deepInclude(view, { queue: "bulk", priority: 1, place: "scheduled" })
      const due = Option.getOrThrow(view.due).epochMilliseconds - view.enqueuedAt.epochMilliseconds
      assert.strictEqual(due, Duration.toMillis("5 minutes"))
      assert.deepStrictEqual(view.details, {
        maxAttempts: 2,
        timeoutMs: 10_000,
        expiresAt: "2030-01-01T00:00:00.000Z",
        key: "customer-7",
        tags: ["order"],
        metadata: { order: 12 }
      })
    })
  )

  test(
    "runs a job at a time, or at once when it has passed [LK-E4]",
    Effect.gen(function* () {
      const place = (id: Effect.Success<ReturnType<typeof Note.enqueue>>["id"]) =>
        Effect.flatMap(Store, (store) => Effect.map(store.place(id), Option.getOrThrow))
      const past = yield* Note.enqueue(1, { runAt: "1970-01-01T00:00:00Z", queue: "times" })
      const coming = yield* Note.enqueue(2, { runAt: DateTime.makeUnsafe("2090-01-01T00:00:00Z"), queue: "times" })
      assert.deepStrictEqual([yield* place(past.id), yield* place(coming.id)], ["ready", "scheduled"])
    })
  )

  test(
    "refuses a payload that is not what the Schema says, with the path of the fault, and stores nothing [LK-E3]",
    Effect.gen(function* () {
      const wrong = { to: "a@example.com", subject: 7 } as unknown as typeof email
      const error = yield* Effect.flip(SendEmail.enqueue(wrong, { queue: "refused" }))
      assert.strictEqual(error._tag, "InvalidPayload")
      assert.strictEqual(error.message, "A job of kind send-email was not enqueued: subject: Expected string")
      const many = yield* Effect.flip(
        SendEmail.enqueueMany([...Array.from({ length: 1_500 }, () => email), wrong], { queue: "refused" })
      )
      assert.strictEqual(many._tag, "InvalidPayload")
      assert.deepStrictEqual(yield* (yield* Client).list({ place: "ready", queue: "refused", limit: 1 }), [])
    })
  )

  test(
    "refuses what cannot or should not be stored, with one sentence [LK-E3] [LK-N3]",
    Effect.gen(function* () {
      const Anything = Job.make("anything", { payload: Schema.Any, maxPayloadBytes: 1_000 })
      const sentence = (payload: unknown) =>
        Effect.map(Effect.flip(Anything.enqueue(payload)), (error) => error.message)
      let deep: unknown = 1
      for (let level = 0; level < 70; level++) deep = { a: deep }
      assert.match(yield* sentence(deep), /nested more than 64 deep$/)
      assert.match(yield* sentence({ text: ["NUL \u0000"] }), /: text\.0: has a NUL character/)
      assert.match(
        yield* sentence("x".repeat(1_000)),
        /has 1002 bytes and 1000 are allowed: store what is large elsewhere/
      )
    })
  )

  test(
    "refuses an option that is unknown or breaks its rule, and names it [LK-E4] [LK-E5]",
    Effect.gen(function* () {
      const refused = (options: object) =>
        Effect.map(Effect.flip(SendEmail.enqueue(email, options)), (error) => {
          assert.strictEqual(error._tag, "InvalidOption")
          return error.message.replace("A job of kind send-email was not enqueued: ", "")
        })
      assert.match(yield* refused({ dealy: "1 minute" }), /^dealy is no option: there are delay, runAt/)
      assert.match(yield* refused({ unique: { keys: "a" } }), /^unique\.keys is no option/)
      assert.match(yield* refused({ delay: "soon" }), /^delay is a length of time such as "5 minutes"/)
      assert.match(yield* refused({ delay: "1 minute", runAt: new Date() }), /^delay and runAt are both given/)
      assert.match(yield* refused({ runAt: "tomorrow" }), /^runAt is no time/)
      assert.match(yield* refused({ priority: 10 }), /^priority is a whole number from 0, first, to 9, last/)
      assert.match(yield* refused({ maxAttempts: 0 }), /^maxAttempts is a whole number of at least 1/)
      assert.match(yield* refused({ queue: " " }), /^queue is not blank, has at most 256 bytes/)
      for (const key of ["", "  ", "é".repeat(129), "a\u0000"]) {
        assert.match(yield* refused({ unique: key }), /^unique\.key is not blank, has at most 256 bytes/)
        assert.match(yield* refused({ key }), /^key is not blank, has at most 256 bytes/)
      }
      assert.match(yield* refused({ unique: { fields: [] } }), /^unique\.fields is empty/)
      assert.match(
        yield* refused({ unique: { onConflict: "throttle" } }),
        /^unique\.onConflict is throttle: give the period/
      )
      assert.match(
        yield* refused({ unique: { onConflict: "debounce" } }),
        /^unique\.onConflict is debounce: give the delay/
      )
      assert.match(
        yield* refused({ unique: { places: ["somewhere"] } }),
        /^unique\.places are some of scheduled, ready/
      )
      assert.match(yield* refused({ deadline: 0 }), /^deadline is at least a millisecond/)
      assert.match(yield* refused({ metadata: { page: "x".repeat(65_536) } }), /^metadata has more than 65536 bytes/)
    })
  )

  test(
    "says whether a unique job was new, and which one is there [LK-E5]",
    Effect.gen(function* () {
      const unique = { fields: ["to"] } as const
      const first = yield* SendEmail.enqueue(email, { unique, queue: "unique" })
      const second = yield* SendEmail.enqueue({ ...email, subject: "Again" }, { unique, queue: "unique" })
      assert.deepStrictEqual([first.outcome, second.outcome, second.id], ["enqueued", "kept", first.id])
      const throttled = { key: "t", onConflict: "throttle", period: "1 hour" } as const
      const third = yield* Note.enqueue(1, { unique: throttled })
      yield* (yield* Store).cancel(third.id, "not wanted")
      assert.strictEqual((yield* Note.enqueue(1, { unique: throttled })).outcome, "kept")
    })
  )

  test(
    "enqueues many with options for each, in the order given [LK-E2]",
    Effect.gen(function* () {
      const results = yield* Note.enqueueMany([10, 11, 12, 13], (n, index) => ({
        queue: "many",
        ...(index % 2 === 0 ? { unique: `n-${n}` } : {})
      }))
      const client = yield* Client
      const payloads = yield* Effect.forEach(results, ({ id }) => Effect.map(client.get(id), Option.getOrThrow))
      assert.deepStrictEqual(
        payloads.map(({ payload }) => payload),
        [10, 11, 12, 13]
      )
      assert.deepStrictEqual(yield* Note.enqueueMany([]), [])
    })
  )

  test(
    "enqueues all that a stream gives, or nothing when it fails [LK-E2]",
    Effect.gen(function* () {
      const queue = "streamed"
      const client = yield* Client
      assert.strictEqual(yield* Note.enqueueStream(Stream.range(1, 2_500), { queue }), 2_500)
      assert.lengthOf(yield* client.list({ place: "ready", queue, limit: 3_000 }), 2_500)
      const failing = Stream.concat(Stream.range(1, 2_500), Stream.fail("ran dry"))
      assert.strictEqual(yield* Effect.flip(Note.enqueueStream(failing, { queue })), "ran dry")
      assert.lengthOf(yield* client.list({ place: "ready", queue, limit: 3_000 }), 2_500)
    })
  )

  test(
    "reads the output of a job that is over, and says what became of others",
    Effect.gen(function* () {
      const { id } = yield* SendEmail.enqueue(email, { queue: "read" })
      yield* runNext("send-email", "read", { messageId: "m-1" })
      assert.deepStrictEqual(yield* SendEmail.await(id), { messageId: "m-1" })

      const note = yield* Note.enqueue(1, { queue: "read" })
      yield* runNext("note", "read", undefined)
      assert.isUndefined(yield* Note.await(note.id))

      const store = yield* Store
      const cancelled = yield* Note.enqueue(1, { queue: "read" })
      yield* store.cancel(cancelled.id, "not wanted")
      const dead = yield* Note.enqueue(1, { queue: "read" })
      yield* store.setAside(dead.id, "odd")
      const message = (id: typeof dead.id) => Effect.map(Effect.flip(Note.await(id)), (error) => error.message)
      assert.strictEqual(yield* message(cancelled.id), `The job ${cancelled.id} was cancelled: not wanted`)
      assert.strictEqual(yield* message(dead.id), `The job ${dead.id} died: odd`)
      assert.match(yield* message("1-999999" as typeof dead.id), /^There is no job 1-999999/)

      const odd = yield* SendEmail.enqueue(email, { queue: "read" })
      yield* runNext("send-email", "read", { messageId: 7 })
      assert.strictEqual((yield* Effect.flip(SendEmail.await(odd.id)))._tag, "OutputUnreadable")
    })
  )
}

describe("Client in memory", () => {
  suite((sentence, body) => it.live(sentence, () => body.pipe(Effect.provide(onMemory))))
})

layer(onPostgres, { excludeTestServices: true })("Client in PostgreSQL", (it) => {
  suite((sentence, body) => it.effect(sentence, () => body))

  it.effect("waits for a job that is still to run", () =>
    Effect.gen(function* () {
      const { id } = yield* SendEmail.enqueue(email, { queue: "awaited" })
      const waiting = yield* Effect.forkChild(SendEmail.await(id))
      yield* runNext("send-email", "awaited", { messageId: "m-2" })
      assert.deepStrictEqual(yield* Fiber.join(waiting), { messageId: "m-2" })
    })
  )

  it.effect("joins the caller's transaction: a rollback leaves nothing, and a savepoint is respected [LK-E1]", () =>
    Effect.gen(function* () {
      const sql = yield* PgClient
      const client = yield* Client
      const queue = "transactions"
      const ready = Effect.map(client.list({ place: "ready", queue, limit: 10 }), (views) =>
        views.map(({ payload }) => payload)
      )
      yield* Effect.flip(sql.withTransaction(Effect.andThen(Note.enqueue(1, { queue }), Effect.fail("no"))))
      assert.deepStrictEqual(yield* ready, [])
      yield* sql.withTransaction(
        Effect.gen(function* () {
          yield* Note.enqueue(2, { queue })
          yield* Effect.flip(sql.withTransaction(Effect.andThen(Note.enqueue(3, { queue }), Effect.fail("no"))))
          yield* Note.enqueueMany([4, 5], { queue })
        })
      )
      assert.deepStrictEqual(yield* ready, [5, 4, 2])
    })
  )
})
