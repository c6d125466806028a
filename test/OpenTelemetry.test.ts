/** What a collector receives, decoded as it arrives: one trace through a job's whole life, and the metrics beside it. */
import { assert, describe, it } from "@effect/vitest"
import { PgClient } from "@effect/sql-pg/PgClient"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Tracer from "effect/Tracer"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { Client } from "../src/Client.ts"
import * as Job from "../src/Job.ts"
import * as Lanekeeper from "../src/Lanekeeper.ts"
import * as OpenTelemetry from "../src/OpenTelemetry.ts"
import { Store } from "../src/store/Store.ts"
import { layerMeasured } from "../src/Telemetry.ts"
import { Wakeup } from "../src/Wakeup.ts"
import { eventually } from "./support/eventually.ts"
import { TestDatabase } from "./support/TestDatabase.ts"

const Attribute = Schema.Struct({ key: Schema.String, value: Schema.Record(Schema.String, Schema.Unknown) })
const Span = Schema.Struct({
  traceId: Schema.String,
  spanId: Schema.String,
  parentSpanId: Schema.optional(Schema.String),
  name: Schema.String,
  attributes: Schema.Array(Attribute),
  status: Schema.Struct({ code: Schema.Int, message: Schema.optional(Schema.String) })
})
const Traces = Schema.Struct({
  resourceSpans: Schema.Array(
    Schema.Struct({
      resource: Schema.Struct({ attributes: Schema.Array(Attribute) }),
      scopeSpans: Schema.Array(Schema.Struct({ spans: Schema.Array(Span) }))
    })
  )
})
const Metrics = Schema.Struct({
  resourceMetrics: Schema.Array(
    Schema.Struct({
      scopeMetrics: Schema.Array(Schema.Struct({ metrics: Schema.Array(Schema.Struct({ name: Schema.String })) }))
    })
  )
})

/** A collector, as far as a sender can tell. */
const collector = Effect.gen(function* () {
  const spans: Array<typeof Span.Type> = []
  const services = new Set<unknown>()
  const metrics = new Set<string>()
  const faults: Array<string> = []
  const receive = (path: string, body: string) => {
    if (path === "/v1/traces") {
      for (const { resource, scopeSpans } of Schema.decodeSync(Schema.fromJsonString(Traces))(body).resourceSpans) {
        services.add(resource.attributes.find(({ key }) => key === "service.name")?.value["stringValue"])
        for (const scope of scopeSpans) spans.push(...scope.spans)
      }
    } else if (path === "/v1/metrics") {
      for (const { scopeMetrics } of Schema.decodeSync(Schema.fromJsonString(Metrics))(body).resourceMetrics) {
        for (const scope of scopeMetrics) for (const { name } of scope.metrics) metrics.add(name)
      }
    }
  }
  const server = createServer((request, response) => {
    let body = ""
    request.on("data", (chunk) => (body += chunk))
    request.on("end", () => {
      try {
        receive(request.url ?? "", body)
      } catch (cause) {
        faults.push(String(cause))
      }
      response.end("{}")
    })
  })
  yield* Effect.acquireRelease(
    Effect.promise(() => new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))),
    () =>
      Effect.sync(() => {
        server.closeAllConnections()
        server.close()
      })
  )
  const { port } = server.address() as AddressInfo
  return { url: `http://127.0.0.1:${port}`, spans, services, metrics, faults }
})

class Refused extends Schema.TaggedError<Refused>()("Refused", { by: Schema.String }) {
  override get message() {
    return `${this.by} refused`
  }
}

const Deliver = Job.make("deliver", {
  payload: { to: Schema.String },
  failure: Refused,
  onFailure: { Refused: { after: "1 millis" } }
})

const attributeOf = (span: typeof Span.Type, key: string) => {
  const value = span.attributes.find((attribute) => attribute.key === key)?.value
  return value === undefined ? undefined : Object.values(value)[0]
}

describe("OpenTelemetry", () => {
  it.live(
    "shows one trace from an enqueue in a transaction over two failures and a rescue to success [LK-L1]",
    () =>
      Effect.gen(function* () {
        const { faults, metrics, services, spans, url } = yield* collector
        const hangs = yield* Deferred.make<void>()
        const handler = Deliver.handle(({ to }, { attempt }) =>
          attempt <= 2
            ? Effect.fail(new Refused({ by: to }))
            : attempt === 3
              ? Effect.andThen(Deferred.succeed(hangs, undefined), Effect.never)
              : Effect.void
        )
        const env = {
          OTEL_EXPORTER_OTLP_ENDPOINT: url,
          OTEL_EXPORTER_OTLP_PROTOCOL: "http/json",
          OTEL_SERVICE_NAME: "post-office",
          OTEL_BSP_SCHEDULE_DELAY: "50",
          OTEL_METRIC_EXPORT_INTERVAL: "50"
        }
        const telemetry = OpenTelemetry.layer().pipe(
          Layer.provide(ConfigProvider.layer(ConfigProvider.fromEnv({ env })))
        )
        const ground = Layer.provideMerge(
          telemetry,
          Layer.provideMerge(layerMeasured, Lanekeeper.layerPostgres().pipe(Layer.provideMerge(TestDatabase.layer)))
        )
        const worker = Lanekeeper.layerWorker({
          heartbeat: "300 millis",
          pollInterval: "50 millis",
          staleAfter: "1 minute"
        })
        const app = Layer.mergeAll(worker, Lanekeeper.layerClient).pipe(
          Layer.provide(handler),
          Layer.provideMerge(ground)
        )
        yield* Effect.gen(function* () {
          const sql = yield* PgClient
          const store = yield* Store
          const { id } = yield* Deliver.enqueue({ to: "somebody" }).pipe(
            sql.withTransaction,
            Effect.withSpan("place order")
          )
          yield* Deferred.await(hangs)
          const [row] = yield* store.workers
          const declare = Effect.flatMap(store.workers, (rows) =>
            store.declareDead(row!.id, rows.find((one) => one.id === row!.id)?.beats ?? 0)
          )
          yield* eventually(declare, (declared) => declared)
          yield* store.rescueWorker(row!.id, { limit: 10, crashBudget: 3 })
          yield* (yield* Wakeup).poke(["default"])
          yield* Deliver.await(id)
          const whole = () => spans.filter(({ name }) => name === "attempt deliver")
          yield* eventually(
            Effect.sync(() => whole().length),
            (attempts) => attempts === 4
          )
          yield* eventually(
            Effect.sync(() => metrics.has("lanekeeper.jobs.finished")),
            (there) => there
          )
        }).pipe(Effect.provide(app))
        assert.deepStrictEqual(faults, [])
        assert.deepStrictEqual([...services], ["post-office"])
        const root = spans.find(({ name }) => name === "place order")!
        const enqueue = spans.find(({ name }) => name === "Client.enqueue")!
        const attempts = spans.filter(({ name }) => name === "attempt deliver")
        const numbers = attempts.map((span) => Number(attributeOf(span, "lanekeeper.attempt")))
        assert.deepStrictEqual(numbers.toSorted(), [1, 2, 3, 4])
        for (const span of [enqueue, ...attempts]) assert.strictEqual(span.traceId, root.traceId)
        for (const span of attempts) assert.strictEqual(span.parentSpanId, enqueue.spanId)
        const of = (attempt: number) => attempts[numbers.indexOf(attempt)]!
        for (const failed of [of(1), of(2)]) {
          assert.strictEqual(attributeOf(failed, "lanekeeper.outcome"), "failed")
          assert.deepStrictEqual(failed.status, { code: 2, message: "somebody refused" })
        }
        assert.isUndefined(attributeOf(of(3), "lanekeeper.outcome")) // interrupted: it was no longer its own
        assert.deepStrictEqual(
          ["lanekeeper.failures", "lanekeeper.crashes", "lanekeeper.outcome"].map((key) => attributeOf(of(4), key)),
          [2, 1, "completed"]
        )
        const names = new Set(spans.map(({ name }) => name))
        for (const name of ["lanekeeper.claim", "lanekeeper.finish", "Lane.runOnce"]) assert.include([...names], name)
        for (const name of ["jobs.claimed", "jobs.run", "lane.runs", "store.moves", "leader.term"]) {
          assert.include([...metrics], `lanekeeper.${name}`)
        }
      }).pipe(Effect.scoped),
    30_000
  )

  it.live("is nothing where no endpoint is named: no tracer, and no trace kept with a job [LK-L1]", () =>
    Effect.gen(function* () {
      const telemetry = OpenTelemetry.layer().pipe(
        Layer.provide(ConfigProvider.layer(ConfigProvider.fromEnv({ env: {} })))
      )
      const app = Lanekeeper.layerClient.pipe(
        Layer.provideMerge(Layer.provideMerge(telemetry, Layer.fresh(Lanekeeper.layerMemory)))
      )
      const context = yield* Layer.build(app)
      assert.strictEqual(Context.get(context, Tracer.Tracer), Tracer.nativeTracer)
      const { id } = yield* Effect.provideContext(Effect.withSpan(Deliver.enqueue({ to: "x" }), "order"), context)
      const view = Option.getOrThrow(yield* Context.get(context, Client).get(id))
      assert.isNull(view.details)
    }).pipe(Effect.scoped)
  )
})
