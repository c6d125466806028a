/**
 * Claims jobs and runs them. A process that only maintains is the ordinary runtime over `MaintenanceOnly`, which does
 * neither: nothing in the runtime asks which of the two it has.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"

export class Dispatcher extends Context.Service<
  Dispatcher,
  {
    /** Runs until it is interrupted, and lets go of what it holds then. */
    readonly run: Effect.Effect<void>
  }
>()("lanekeeper/Dispatcher") {}

/** Claims nothing and needs no handlers. */
export const MaintenanceOnly = Layer.succeed(Dispatcher, Dispatcher.of({ run: Effect.never }))
