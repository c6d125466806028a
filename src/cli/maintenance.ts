import * as Command from "effect/cli/Command"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import {
  configured,
  databaseUrl,
  directUrl,
  durationOf,
  laneOptions,
  oneOf,
  schemaFlag,
  schemaName
} from "./configuration.ts"
import { serving } from "./ending.ts"

export const maintenance = Command.make(
  "maintenance",
  { schema: schemaFlag },
  Effect.fn(function* (flags) {
    const {
      directUrl: direct,
      leadership,
      schema,
      url,
      ...options
    } = yield* configured({
      url: databaseUrl,
      directUrl,
      schema: schemaName(flags.schema),
      leadership: oneOf("LANEKEEPER_LEADERSHIP", ["lock", "lease"]),
      grace: durationOf("LANEKEEPER_GRACE"),
      ...laneOptions
    })
    const { layerMaintenanceOnly } = yield* Effect.promise(() => import("../roles/maintenance.ts"))
    const { layerGround } = yield* Effect.promise(() => import("./ground.ts"))
    const ground = layerGround({ role: "maintenance", url, directUrl: direct, schema, leadership })
    return yield* Layer.launch(layerMaintenanceOnly(options).pipe(Layer.provide(ground))).pipe(serving)
  })
).pipe(
  Command.withDescription(
    "Keep time-based state moving: promote, rescue, expire. Claims nothing and runs no handler; only one of these, or of the workers, leads at a time"
  )
)
