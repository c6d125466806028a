/**
 * Sends traces, metrics and logs to a collector over HTTP, as the standard `OTEL_*` variables say. Without an endpoint
 * it is nothing, and costs nothing.
 */
import * as Config from "effect/Config"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as Layer from "effect/Layer"
import * as Otlp from "effect/observability/Otlp"
import * as OtlpSerialization from "effect/observability/OtlpSerialization"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import { makeObserver } from "./Telemetry.ts"

export interface Options {
  /** Defaults to `lanekeeper`, and `OTEL_SERVICE_NAME` goes before it. */
  readonly serviceName?: string | undefined
  readonly serviceVersion?: string | undefined
}

const observeEvery = "15 seconds" // as often as the leader counts

/** What readers can tell of the whole goes out with this process's own figures. */
const layerObserver = Layer.effectDiscard(
  Effect.flatMap(makeObserver, (observe) =>
    observe.pipe(
      Effect.catchCause((cause) => Effect.logDebug("The store was not observed", cause)),
      Effect.repeat(Schedule.spaced(observeEvery)),
      Effect.withTracerEnabled(false),
      Effect.forkScoped
    )
  )
)

/** The endpoint alone says enough, as it does elsewhere: an exporter that was not named is this one. */
const everySignal = ConfigProvider.fromEnv({
  env: { OTEL_TRACES_EXPORTER: "otlp", OTEL_METRICS_EXPORTER: "otlp", OTEL_LOGS_EXPORTER: "otlp" }
})

const make = Effect.fnUntraced(function* ({ serviceName = "lanekeeper", serviceVersion }: Options) {
  const variable = (variable: string) => Effect.orDie(Config.option(Config.String(variable)))
  const protocol = yield* variable("OTEL_EXPORTER_OTLP_PROTOCOL")
  const name = yield* variable("OTEL_SERVICE_NAME")
  const serialization = Option.contains(protocol, "http/json")
    ? OtlpSerialization.layerJson
    : OtlpSerialization.layerProtobuf
  const resource = { serviceName: Option.getOrElse(name, () => serviceName), serviceVersion }
  return Otlp.layerFromConfig({ resource }).pipe(
    Layer.provide([serialization, FetchHttpClient.layer]),
    Layer.provide(ConfigProvider.layerAdd(everySignal))
  )
})

export const layer = (options: Options = {}) => Layer.provideMerge(layerObserver, Layer.unwrap(make(options)))
