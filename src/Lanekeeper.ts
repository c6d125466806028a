/** The layers an app provides. Each role is one of them; all stand on a store. */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Client } from "./Client.ts"
import type { HealthOptions } from "./http/health.ts"
import type { Options as OpenTelemetryOptions } from "./OpenTelemetry.ts"
import * as Settings from "./Settings.ts"

export { layerMemory, layerPostgres, layerPostgresConfig, type PostgresOptions } from "./roles/ground.ts"

/** The client role: enqueues and reads, and does nothing else. */
export const layerClient = Client.layer

export { type EventsOptions, layerSink as layerEvents } from "./Events.ts"

export {
  layerMaintenanceOnly,
  layerMaintenanceOnlyBackground,
  type Options as MaintenanceOptions
} from "./roles/maintenance.ts"

export { layerWorker, layerWorkerBackground, type Options as WorkerOptions } from "./roles/worker.ts"

export { tick, type Tick, type TickOptions } from "./lanes/tick.ts"

export { layerMeasured } from "./Telemetry.ts"

/** Serves `/healthz`, `/readyz` and `/metrics` beside the role whose `Runtime` it is given. */
export const layerHealth = (options: HealthOptions) =>
  Layer.unwrap(
    Effect.map(
      Effect.promise(() => import("./http/health.ts")),
      ({ layer }) => layer(options)
    )
  )

/** Sends traces, metrics and logs where `OTEL_EXPORTER_OTLP_ENDPOINT` says. Without it nothing is sent or loaded. */
export const layerOpenTelemetry = (options: OpenTelemetryOptions = {}) =>
  Layer.unwrap(
    Effect.gen(function* () {
      const { endpoint } = yield* Settings.read({ endpoint: Settings.otlpEndpoint })
      if (endpoint === undefined) return Layer.empty
      return (yield* Effect.promise(() => import("./OpenTelemetry.ts"))).layer(options)
    })
  )
