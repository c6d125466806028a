import * as Command from "effect/cli/Command"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Settings from "../Settings.ts"
import { declarationsFlag, declaring, loadDeclarations } from "./app.ts"
import { serving } from "./ending.ts"
import { schemaFlag } from "./flags.ts"

const settings = {
  ...Settings.storeSettings,
  ...Settings.laneSettings,
  ...Settings.serveSettings,
  grace: Settings.grace
}

export const maintenance = Command.make(
  "maintenance",
  { app: declarationsFlag, schema: schemaFlag },
  Effect.fn(function* (flags) {
    const { directUrl, leadership, schema, url, ...options } = yield* Settings.read(settings, flags)
    const declarations = Option.isSome(flags.app) ? yield* loadDeclarations(flags.app.value) : undefined
    const { Client } = yield* Effect.promise(() => import("../Client.ts"))
    const { layerMaintenanceOnly } = yield* Effect.promise(() => import("../roles/maintenance.ts"))
    const { equipped } = yield* Effect.promise(() => import("./equipped.ts"))
    const { layerGround } = yield* Effect.promise(() => import("./ground.ts"))
    const ground = layerGround({ role: "maintenance", url, directUrl, schema, leadership })
    const role =
      declarations === undefined
        ? layerMaintenanceOnly(options)
        : declaring(declarations, (declared) => layerMaintenanceOnly({ ...options, ...declared })).pipe(
            Layer.provide(Client.layer)
          )
    const running = yield* equipped(role, ground, options)
    const connections = Effect.logInfo("Takes connections, at most", { leading: 5, following: 2 })
    return yield* serving(Effect.andThen(connections, Layer.launch(running)))
  })
).pipe(
  Command.withDescription(
    "Keep time-based state moving: promote, rescue, expire. Claims nothing and runs no handler; only one of these, or of the workers, leads at a time"
  ),
  Command.withExamples([
    { command: "lanekeeper maintenance", description: "On DATABASE_URL, until SIGTERM or Ctrl-C" },
    {
      command: "LANEKEEPER_HEALTH_PORT=9090 lanekeeper maintenance",
      description: "With /healthz, /readyz and /metrics"
    }
  ])
)
