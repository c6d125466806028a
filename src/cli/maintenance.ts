import * as Command from "effect/cli/Command"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Settings from "../Settings.ts"
import { serving } from "./ending.ts"
import { schemaFlag } from "./flags.ts"

export const maintenance = Command.make(
  "maintenance",
  { schema: schemaFlag },
  Effect.fn(function* (flags) {
    const { directUrl, leadership, schema, url, ...options } = yield* Settings.read(
      { ...Settings.storeSettings, ...Settings.laneSettings, grace: Settings.grace },
      flags
    )
    const { layerMaintenanceOnly } = yield* Effect.promise(() => import("../roles/maintenance.ts"))
    const { layerGround } = yield* Effect.promise(() => import("./ground.ts"))
    const ground = layerGround({ role: "maintenance", url, directUrl, schema, leadership })
    return yield* Layer.launch(layerMaintenanceOnly(options).pipe(Layer.provide(ground))).pipe(serving)
  })
).pipe(
  Command.withDescription(
    "Keep time-based state moving: promote, rescue, expire. Claims nothing and runs no handler; only one of these, or of the workers, leads at a time"
  )
)
