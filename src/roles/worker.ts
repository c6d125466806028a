/**
 * The worker role: claims jobs and runs them, recovers at start, and competes for the lead like every process that
 * maintains.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Dispatcher } from "../Dispatcher.ts"
import { connections as dispatcher } from "../dispatch/dispatch.ts"
import type { DispatcherOptions } from "../dispatch/Settings.ts"
import type { Handles } from "../Handlers.ts"
import type { Any } from "../Job.ts"
import { configure } from "../lanes/Configured.ts"
import { connections as lanes } from "../lanes/crews.ts"
import { Maintenance, type MaintenanceOptions } from "../lanes/Maintenance.ts"
import type { LifecycleOptions } from "../Lifecycle.ts"
import { describe } from "../Presence.ts"
import { Runtime } from "./Runtime.ts"

export interface Options<K extends Any = Any> extends DispatcherOptions, MaintenanceOptions, LifecycleOptions {
  readonly jobs?: ReadonlyArray<K> | undefined
}

/** Ready when it is built; closing it drains it. */
export const layerWorker = <K extends Any = never>(options: Options<K> = {}) => over(Runtime.layer(options), options)

/** Built at once: starts as soon as the database lets it. */
export const layerWorkerBackground = <K extends Any = never>(options: Options<K> = {}) =>
  over(Runtime.layerBackground(options), options)

const over = <K extends Any, E, R>(runtime: Layer.Layer<Runtime, E, R>, options: Options<K>) =>
  requiring<K>()(
    runtime.pipe(
      Layer.provide(
        Layer.unwrap(
          Effect.map(configure(options), ({ lanes, ...liveness }) =>
            Dispatcher.layer({ ...options, ...liveness, about: describe("worker", lanes) })
          )
        )
      ),
      Layer.provide(Maintenance.layer(options, "worker"))
    )
  )

/** How a process shares out `pool` connections. It takes one more for the lock of leaders and one more to listen. */
export const connectionsOf = (pool: number) => ({
  total: pool + 2,
  handlers: pool - dispatcher - lanes,
  dispatcher,
  lanes,
  lock: 1,
  listen: 1
})

/** Types alone: each kind that was named needs its handler. */
const requiring =
  <K extends Any>() =>
  <A, E, R>(layer: Layer.Layer<A, E, R>): Layer.Layer<A, E, R | HandlesOf<K>> =>
    layer

/** One for each, so that the compiler names the one that is missing. */
type HandlesOf<K extends Any> = K extends Any ? Handles<K["name"]> : never
