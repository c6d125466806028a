import * as Command from "effect/cli/Command"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Settings from "../Settings.ts"
import { appFlag, declaring, loadApp } from "./app.ts"
import { onSecondSignal, serving } from "./ending.ts"
import { schemaFlag } from "./flags.ts"

const settings = {
  ...Settings.storeSettings,
  ...Settings.workerSettings,
  ...Settings.laneSettings,
  ...Settings.serveSettings,
  grace: Settings.grace
}

export const worker = Command.make(
  "worker",
  { app: appFlag, schema: schemaFlag },
  Effect.fn(function* (flags) {
    const { directUrl, leadership, pool, schema, url, ...options } = yield* Settings.read(settings, flags)
    const app = yield* loadApp(flags.app)
    const { Client } = yield* Effect.promise(() => import("../Client.ts"))
    const { Runtime } = yield* Effect.promise(() => import("../roles/Runtime.ts"))
    const { connectionsOf, layerWorker } = yield* Effect.promise(() => import("../roles/worker.ts"))
    const { equipped } = yield* Effect.promise(() => import("./equipped.ts"))
    const { layerWorkerGround } = yield* Effect.promise(() => import("./ground.ts"))

    const connections = connectionsOf(pool)
    const ground = layerWorkerGround({
      url,
      directUrl,
      schema,
      leadership,
      connections: connections.handlers,
      staleAfter: options.staleAfter
    })
    const queues = options.queues ?? app.queues
    const role = declaring(app, (declared) => layerWorker({ ...options, ...declared, queues })).pipe(
      Layer.provide(app.handlers),
      Layer.provide(Client.layer)
    )
    const running = yield* equipped(role, ground, options)
    const work = Effect.flatMap(Runtime, ({ abort }) => onSecondSignal(abort)).pipe(
      Effect.andThen(Effect.never),
      Effect.provide(running)
    )
    return yield* serving(Effect.andThen(Effect.logInfo("Takes connections, at most", connections), work))
  })
).pipe(
  Command.withDescription(
    "Claim jobs and run the handlers of a module, and lead like `maintenance` when it is its turn. The first signal lets running attempts end, the second gives them back at once"
  )
)
