/**
 * Runs lanes while this process leads. One process of a schema leads at a time; its term is a number that only grows.
 *
 * A term can end at any await: when the connection is cut, two processes can believe for a moment that they lead. That
 * is why lanes are safe beside each other, and why everything they do names the term and does nothing once it is over.
 * Processes of one schema should use one way of electing. Of two ways still one leads at a time, for each looks for the
 * other's mark before it leads; but a change of leaders takes as long as the slower of the two.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { byAdvisoryLock, type AdvisoryLockOptions } from "./leadership/advisoryLock.ts"
import { byLease, type LeaseOptions } from "./leadership/lease.ts"
import type { Term } from "./store/Store.ts"

export class LeaderElection extends Context.Service<
  LeaderElection,
  {
    /**
     * Campaigns, and runs `lanes` for as long as a term lasts: they are interrupted when it is lost, and run again in
     * the next one. When they return by themselves, lets go of the lead and returns.
     */
    readonly lead: <E, R>(lanes: Effect.Effect<void, E, R>) => Effect.Effect<void, E, R>
    /** The term this process leads in now. Who leads elsewhere is known to the store. */
    readonly term: Effect.Effect<Option.Option<Term>>
  }
>()("lanekeeper/LeaderElection") {
  /** By a lock that lives as long as a connection of its own. Needs a direct connection, or a pooler in session mode. */
  static readonly layerAdvisoryLock = (options: AdvisoryLockOptions = {}) => Layer.effect(this, byAdvisoryLock(options))

  /** By a row that must be renewed, where only single statements get through: behind a pooler in transaction mode. */
  static readonly layerLease = (options: LeaseOptions = {}) => Layer.effect(this, byLease(options))

  /** Leads without asking anybody, under no term: for a program that is alone, and for tests. */
  static readonly layerAlways = Layer.succeed(this, { lead: (lanes) => lanes, term: Effect.succeedNone })

  /** Never leads: for a process that leaves the lanes to others. */
  static readonly layerNever = Layer.succeed(this, { lead: () => Effect.never, term: Effect.succeedNone })
}
