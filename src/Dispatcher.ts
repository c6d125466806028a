/**
 * Claims jobs and runs them. A process that only maintains is the ordinary runtime over `MaintenanceOnly`, which does
 * neither: nothing in the runtime asks which of the two it has.
 */
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { dispatch, type Liveness } from "./dispatch/dispatch.ts"
import { type DispatcherOptions, settle } from "./dispatch/Settings.ts"
import { type Handlers, provided } from "./Handlers.ts"
import { processName } from "./processName.ts"
import type { Store } from "./store/Store.ts"
import type { StoreConnections } from "./StoreConnections.ts"
import type { Wakeup } from "./Wakeup.ts"

export class Dispatcher extends Context.Service<
  Dispatcher,
  {
    /** Runs until it is told to stop, and then for as long as it takes to let go of what it holds. */
    readonly run: (stopping: Deferred.Deferred<void>) => Effect.Effect<void>
  }
>()("lanekeeper/Dispatcher") {
  /** Runs the kinds whose handlers it is provided with. */
  static readonly layer = (options: DispatcherOptions & Liveness) => Layer.effect(this, make(options))
}

/** Claims nothing and needs no handlers. */
export const MaintenanceOnly = Layer.succeed(Dispatcher, Dispatcher.of({ run: Deferred.await }))

const make = Effect.fnUntraced(function* (options: DispatcherOptions & Liveness) {
  const settings = yield* settle(options, yield* provided, processName)
  const context = yield* Effect.context<Handlers | Store | StoreConnections | Wakeup>()
  return Dispatcher.of({
    run: (stopping) => Effect.provideContext(dispatch(settings, options, stopping), context)
  })
})
