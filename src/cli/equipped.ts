/** Gives a role that serves what else was asked for beside it: health over HTTP, telemetry. Without it nothing is loaded. */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { Runtime } from "../roles/Runtime.ts"
import type { layerGround } from "./ground.ts"

export interface EquipmentOptions {
  readonly healthPort: number | undefined
  readonly healthHost: string
  readonly otlpEndpoint: string | undefined
}

type Ground = Layer.Success<ReturnType<typeof layerGround>>

export const equipped = Effect.fnUntraced(function* <E, E2>(
  role: Layer.Layer<Runtime, E, Ground>,
  plain: Layer.Layer<Ground, E2>,
  { healthHost, healthPort, otlpEndpoint }: EquipmentOptions
) {
  if (healthPort === undefined && otlpEndpoint === undefined) return Layer.provide(role, plain)
  const { layerMeasured } = yield* Effect.promise(() => import("../Telemetry.ts"))
  const measured = Layer.provideMerge(layerMeasured, plain)
  const ground = otlpEndpoint === undefined ? measured : yield* told(measured)
  if (healthPort === undefined) return Layer.provide(role, ground)
  const { layer } = yield* Effect.promise(() => import("../http/health.ts"))
  const health = layer({ port: healthPort, host: healthHost })
  return health.pipe(Layer.provideMerge(role), Layer.provide(ground))
})

const told = Effect.fnUntraced(function* <E>(ground: Layer.Layer<Ground, E>) {
  const OpenTelemetry = yield* Effect.promise(() => import("../OpenTelemetry.ts"))
  return Layer.provideMerge(OpenTelemetry.layer(), ground)
})
