/** What the types say of kinds, their handlers and the worker that runs them: the compiler is the judge. */
import * as PgClient from "@effect/sql-pg/PgClient"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { assert, describe, it } from "@effect/vitest"
import * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import { Attempt, type Handlers, type Handles, Job, Lanekeeper } from "../src/index.ts"

class Bounced extends Schema.TaggedError<Bounced>()("Bounced", { address: Schema.String }) {}
class Full extends Schema.TaggedError<Full>()("Full", { seconds: Schema.Int }) {}
class Unheard extends Schema.TaggedError<Unheard>()("Unheard", {}) {}
class Mailer extends Context.Service<Mailer, { readonly send: (to: string) => Effect.Effect<string> }>()("Mailer") {}

const SendEmail = Job.make("send-email", {
  payload: { to: Schema.String, at: Schema.DateTimeUtcFromString },
  output: Schema.Struct({ messageId: Schema.String }),
  failure: Schema.Union([Bounced, Full]),
  onFailure: { Bounced: "dead", Full: ({ seconds }) => ({ after: `${seconds} seconds` }) },
  queue: "email"
})
const Report = Job.make("report", { payload: {} })

const Email = SendEmail.handle(
  Effect.fn(function* ({ at, to }, attempt) {
    if (at.epochMilliseconds === 0) return yield* new Bounced({ address: to })
    if (attempt.failures > 3) return yield* Attempt.cancel("nobody there")
    return { messageId: yield* (yield* Mailer).send(to) }
  })
)
const Reporting = Report.handle(() => Effect.void)

const database = Layer.provide(
  Lanekeeper.layerPostgres(),
  PgClient.layerConfig({ url: Config.Redacted("DATABASE_URL") })
)
const Mail = Layer.succeed(Mailer, { send: (to) => Effect.succeed(to) })

type Needs<L> = L extends Layer.Layer<infer _A, infer _E, infer R> ? R : never
const says = <Expected>() => ({
  of: <Actual>(..._same: [Expected] extends [Actual] ? ([Actual] extends [Expected] ? [] : [never]) : [never]) => {}
})

/** Compiled and never run. */
export const compiled = () => {
  // The layer of a handler needs what the handler needs, and no more.
  says<Mailer>().of<Needs<typeof Email>>()
  says<never>().of<Needs<typeof Reporting>>()

  // As an app is launched.
  const Worker = Lanekeeper.layerWorker({ jobs: [SendEmail, Report], queues: { email: { concurrency: 20 } } }).pipe(
    Layer.provide([Email, Reporting]),
    Layer.provide(Mail)
  )
  Layer.launch(Worker.pipe(Layer.provide(database))).pipe(NodeRuntime.runMain)

  // A kind that was named and has no handler.
  const Half = Lanekeeper.layerWorker({ jobs: [SendEmail, Report] }).pipe(Layer.provide(Email), Layer.provide(Mail))
  const halved = Half.pipe(Layer.provide(database))
  says<Handles<"report">>().of<Needs<typeof halved>>()
  // @ts-expect-error it is missing
  // @effect-diagnostics-next-line missingEffectContext:off
  Layer.launch(halved).pipe(NodeRuntime.runMain)

  // No handler at all.
  const None = Lanekeeper.layerWorker().pipe(Layer.provide(database))
  says<Handlers>().of<Needs<typeof None>>()

  // A handler whose needs nobody provides.
  const Unprovided = Lanekeeper.layerWorker().pipe(Layer.provide(Email), Layer.provide(database))
  says<Mailer>().of<Needs<typeof Unprovided>>()

  // Nothing of the kind's is guessed wrongly.
  // @ts-expect-error the output is missing
  SendEmail.handle(() => Effect.void)
  // @ts-expect-error the output has another shape
  SendEmail.handle(() => Effect.succeed({ messageId: 7 }))
  // @ts-expect-error a failure that the kind does not declare
  // @effect-diagnostics-next-line missingEffectError:off
  SendEmail.handle(() => Effect.fail(new Unheard()))
  // @ts-expect-error a promise is no Effect
  SendEmail.handle(() => Promise.resolve({ messageId: "7" }))
  // @ts-expect-error no such field
  SendEmail.handle(({ from }) => Effect.succeed({ messageId: from }))
  // @ts-expect-error what is completed with is the kind's output
  SendEmail.handle((_, attempt) => Effect.as(attempt.complete({ id: "7" }), { messageId: "7" }))
  // @ts-expect-error no such tag
  Job.make("a", { payload: {}, failure: Bounced, onFailure: { Bouncd: "dead" } })
  // @ts-expect-error no such decision
  Job.make("b", { payload: {}, failure: Bounced, onFailure: { Bounced: "never" } })
  // @ts-expect-error no such option
  Lanekeeper.layerWorker({ concurrenci: 7 })
  // @ts-expect-error no such option of a queue
  Lanekeeper.layerWorker({ queues: { email: { concurency: 7 } } })
}

describe("The types of handlers and workers", () => {
  it("require each handler that was named, and take no other than the kind's [LK-A1]", () => {
    assert.isFunction(compiled)
  })
})
