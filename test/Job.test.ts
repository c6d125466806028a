import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Layer from "effect/Layer"
import * as Tracer from "effect/Tracer"
import { Client } from "../src/Client.ts"
import * as Job from "../src/Job.ts"
import * as Lanekeeper from "../src/Lanekeeper.ts"
import { Store } from "../src/store/Store.ts"

const Resize = Job.make("resize", {
  payload: { image: Schema.String, width: Schema.Int },
  output: Schema.Struct({ url: Schema.String }),
  failure: Schema.Struct({ code: Schema.Int }),
  aliases: ["thumbnail"],
  version: 3,
  upgrade: (payload, version) =>
    version === 1 ? { image: payload, width: 100 } : { width: 200, ...(payload as { readonly image: string }) }
})

describe("Job.make", () => {
  it("knows the types of a kind's payload, output and failure", () => {
    const payload: Job.Payload<typeof Resize> = { image: "a.png", width: 1 }
    const output: Job.Output<typeof Resize> = { url: "https://example.com" }
    const failure: Job.Failure<typeof Resize> = { code: 1 }
    assert.deepStrictEqual([payload.width, output.url, failure.code], [1, "https://example.com", 1])
    const compiles = () => [
      // @ts-expect-error a payload without one of its fields
      Resize.enqueue({ image: "a.png" }),
      // @ts-expect-error an option that is none
      Resize.enqueue(payload, { dealy: "1 minute" }),
      // @ts-expect-error a field the payload does not have
      Resize.enqueue(payload, { unique: { fields: ["height"] } }),
      Resize.enqueue(payload, { unique: { fields: ["image"] } })
    ]
    assert.isFunction(compiles)
  })

  it("refuses a kind that cannot work, when its module is loaded", () => {
    const rule = (name: string, options: object) => () => Job.make(name, { payload: {}, ...options })
    assert.throws(rule(" ", {}), /The kind " " is declared wrongly: its name is not blank/)
    assert.throws(rule("x".repeat(257), {}), /has at most 256 bytes/)
    assert.throws(rule("a", { queue: "" }), /its queue is not blank/)
    assert.throws(rule("a", { priority: 1.5 }), /its priority is a whole number from 0, first, to 9, last/)
    assert.throws(rule("a", { maxAttempts: 0 }), /its maxAttempts is a whole number of at least 1/)
    assert.throws(rule("a", { version: 0 }), /its version is a whole number of at least 1/)
    assert.throws(rule("a", { deadline: 0 }), /its deadline is a length of time of at least a millisecond/)
    assert.throws(rule("a", { maxPayloadBytes: 16_777_216 }), /its maxPayloadBytes is a whole number from 1 to 8388608/)
    assert.throws(rule("a", { aliases: [""] }), /an alias is not blank/)
  })

  it("stores with a kind's defaults what is to follow a rescue or a death [LK-C7]", () => {
    const Alarm = Job.make("alarm", { payload: Job.FollowUp, queue: "alarms", priority: 1, maxAttempts: 2 })
    const Pay = Job.make("pay", { payload: {}, onDeath: Alarm, onRescue: Alarm })
    const alarm = { kind: "alarm", queue: "alarms", priority: 1, details: { maxAttempts: 2 } }
    assert.deepStrictEqual(Pay.defaults.followUps, { died: alarm, rescued: alarm })
    // @ts-expect-error a follow-up is given what became of the job, and nothing else
    const compiles = () => Job.make("pay", { payload: {}, onDeath: Resize })
    assert.isFunction(compiles)
  })

  it.effect("gives a follow-up the job it follows, typed [LK-C7]", () =>
    Effect.gen(function* () {
      const Alarm = Job.make("alarm", { payload: Job.FollowUp, queue: "alarms" })
      const Pay = Job.make("pay", { payload: { cents: Schema.Int }, onDeath: Alarm })
      const { id } = yield* Pay.enqueue({ cents: 100 })
      const store = yield* Store
      yield* store.setAside(id, "fraud")
      const client = yield* Client
      const [followUp] = yield* client.list({ place: "ready", queue: "alarms", limit: 2 })
      const given: Job.FollowUp = yield* Alarm.decode(followUp!.payload, followUp!.details as null)
      assert.deepStrictEqual(given, { type: "died", job: id, kind: "pay", attempt: 1, rescues: 0, reason: "fraud" })
    }).pipe(Effect.provide(Lanekeeper.layerClient.pipe(Layer.provideMerge(Lanekeeper.layerMemory))))
  )

  it.effect("reads payloads of older versions, and its own", () =>
    Effect.gen(function* () {
      const image = "a.png"
      assert.deepStrictEqual(yield* Resize.decode(image, null), { image, width: 100 })
      assert.deepStrictEqual(yield* Resize.decode({ image }, { version: 2 }), { image, width: 200 })
      assert.deepStrictEqual(yield* Resize.decode({ image, width: 7 }, { version: 3 }), { image, width: 7 })
      assert.strictEqual((yield* Effect.flip(Resize.decode({ image }, { version: 3 })))._tag, "SchemaError")
    })
  )
})

describe("Job.group", () => {
  it("finds a kind by its name and by the names it had before", () => {
    const Note = Job.make("note", { payload: {} })
    const kinds = Job.group(Resize, Note)
    assert.strictEqual(kinds.get("resize"), Resize)
    assert.strictEqual(kinds.get("thumbnail"), Resize)
    assert.strictEqual(kinds.get("note"), Note)
    assert.isUndefined(kinds.get("mail"))
  })

  it("refuses two kinds that claim one name", () => {
    const Thumbnail = Job.make("thumbnail", { payload: {} })
    assert.throws(() => Job.group(Resize, Thumbnail), /the name "thumbnail" belongs to the kind "resize" too/)
  })
})

describe("Enqueueing under a tracer", () => {
  const app = Lanekeeper.layerClient.pipe(Layer.provide(Lanekeeper.layerMemory))

  const traced = Effect.gen(function* () {
    const { id } = yield* Resize.enqueue({ image: "a.png", width: 1 })
    const view = Option.getOrThrow(yield* (yield* Client).get(id))
    return (view.details as { readonly trace?: { readonly spanId: string; readonly traceId: string } }).trace
  })

  it.effect("stores the span that enqueued, to link attempts to [LK-E4]", () =>
    Effect.gen(function* () {
      const spans: Array<Tracer.Span> = []
      const tracer = Tracer.make({
        span: (options) => {
          const span = Tracer.nativeTracer.span(options)
          spans.push(span)
          return span
        }
      })
      const trace = yield* traced.pipe(Effect.provideService(Tracer.Tracer, tracer))
      const span = spans.find(({ name }) => name === "Client.enqueue")!
      assert.deepStrictEqual(trace, { traceId: span.traceId, spanId: span.spanId, sampled: true } as never)
    }).pipe(Effect.provide(app))
  )

  it.effect("stores none when nobody would see it", () =>
    Effect.gen(function* () {
      assert.isUndefined(yield* traced)
    }).pipe(Effect.provide(app))
  )
})
