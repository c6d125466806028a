/** What every role that maintains or works is: a dispatcher and lanes under one lifecycle. */
import * as Context from "effect/Context"
import type * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Option from "effect/Option"
import { Dispatcher } from "../Dispatcher.ts"
import { type LaneStatus, Maintenance } from "../lanes/Maintenance.ts"
import { recover, type Recovered, type RecoveryFailed } from "../lanes/recover.ts"
import { Rescue } from "../lanes/Rescue.ts"
import { LeaderElection } from "../LeaderElection.ts"
import * as Lifecycle from "../Lifecycle.ts"
import type { Term } from "../store/Store.ts"

export interface Status {
  readonly phase: Lifecycle.Phase
  /** The term this process leads in now. */
  readonly term: Option.Option<Term>
  readonly lanes: ReadonlyArray<LaneStatus>
}

export class Runtime extends Context.Service<
  Runtime,
  Omit<Lifecycle.Lifecycle<Recovered, RecoveryFailed>, "phase"> & { readonly status: Effect.Effect<Status> }
>()("lanekeeper/roles/Runtime") {
  /** Started when it is built: a database that cannot be maintained fails the layer. Closing it is `shutdown`. */
  static readonly layer = (options: Lifecycle.LifecycleOptions = {}) =>
    Layer.effect(
      this,
      Effect.tap(make(options), ({ ready }) => ready)
    )

  /** Built at once, and started as soon as it can be. */
  static readonly layerBackground = (options: Lifecycle.LifecycleOptions = {}) =>
    Layer.effect(
      this,
      Effect.tap(make(options), ({ background }) => background)
    )
}

const make = Effect.fnUntraced(function* (options: Lifecycle.LifecycleOptions) {
  const election = yield* LeaderElection
  const dispatcher = yield* Dispatcher
  const maintenance = yield* Maintenance
  const { crashBudget, heartbeat, staleAfter } = maintenance.configured

  const run = Effect.fnUntraced(function* (stopping: Deferred.Deferred<void>) {
    yield* Effect.logInfo("Started", {
      heartbeat: Duration.format(heartbeat),
      staleAfter: Duration.format(staleAfter),
      watch: Duration.format(Duration.times(staleAfter, 0.5))
    })
    yield* Effect.all([maintenance.run(stopping), dispatcher.run(stopping)], {
      concurrency: "unbounded",
      discard: true
    })
  })
  const recovering = Effect.provideService(recover(), Rescue, { crashBudget, staleAfter })
  const { phase, ...handle } = yield* Lifecycle.make(recovering, run, options)
  return Runtime.of({
    ...handle,
    status: Effect.all({ phase, term: election.term, lanes: maintenance.lanes })
  })
})
