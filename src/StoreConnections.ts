/**
 * Gives a store on connections of its own, so that what one part waits for never keeps another part waiting.
 * The connections are opened when they are needed and closed with the scope.
 */
import * as PgClient from "@effect/sql-pg/PgClient"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import type { SqlError } from "effect/sql/SqlError"
import { closingInTime } from "./silence.ts"
import { storeOn } from "./store/postgres/index.ts"
import { schemaName } from "./store/postgres/SchemaName.ts"
import { Store } from "./store/Store.ts"

export interface ConnectionBudget {
  /** The server shows it as the application. */
  readonly name: string
  readonly connections: number
  readonly statementTimeout: Duration.Duration
  readonly lockTimeout: Duration.Duration
}

type Open = (budget: ConnectionBudget) => Effect.Effect<Store["Service"], SqlError, Scope.Scope>

export class StoreConnections extends Context.Service<
  StoreConnections,
  {
    readonly open: Open
    /** Lets others read through a store that is open, for as long as the scope is and when `after` has passed. */
    readonly lend: (store: Store["Service"], after?: Duration.Input) => Effect.Effect<void, never, Scope.Scope>
    /** What was lent last, once it may be used. */
    readonly lent: Effect.Effect<Option.Option<Store["Service"]>>
  }
>()("lanekeeper/StoreConnections") {
  static readonly opening = (open: Open): StoreConnections["Service"] => ({ open, ...lending() })

  /** On the server of the app's own client. */
  static readonly layerPostgres = (options: { readonly schema?: string | undefined } = {}) =>
    Layer.effect(
      this,
      Effect.gen(function* () {
        const { config } = yield* PgClient.PgClient
        const schema = yield* schemaName(options.schema)
        const open = Effect.fnUntraced(function* (budget: ConnectionBudget) {
          const services = yield* closingInTime(
            Layer.build(PgClient.layer({ ...config, ...settingsOf(budget, config) }))
          )
          return yield* storeOn(Context.get(services, PgClient.PgClient), schema)
        })
        return StoreConnections.opening(open)
      })
    )

  /** The one store there is, for a store that has no connections. */
  static readonly layerShared = Layer.effect(
    this,
    Effect.map(Store, (store) => StoreConnections.opening(() => Effect.succeed(store)))
  )
}

const lending = () => {
  const stores: Array<{ readonly store: Store["Service"]; readonly from: number }> = []
  const lend = Effect.fnUntraced(function* (store: Store["Service"], after: Duration.Input = Duration.zero) {
    const from = (yield* Clock.currentTimeMillis) + Duration.toMillis(Duration.fromInputUnsafe(after))
    const entry = { store, from }
    yield* Effect.acquireRelease(
      Effect.sync(() => stores.push(entry)),
      () => Effect.sync(() => stores.splice(stores.indexOf(entry), 1))
    )
  })
  const lent = Effect.gen(function* () {
    const last = stores.at(-1)
    if (last === undefined) return Option.none()
    const early = last.from - (yield* Clock.currentTimeMillis)
    if (early > 0) yield* Effect.sleep(early)
    return Option.some(last.store)
  })
  return { lend, lent }
}

/** A store for those who only look: on a connection that is open anyway, or else the process's own. */
export const forLooking: Effect.Effect<Store["Service"], never, Store | StoreConnections> = Effect.gen(function* () {
  const own = yield* Store
  return Option.getOrElse(yield* (yield* StoreConnections).lent, () => own)
})

const settingsOf = (budget: ConnectionBudget, config: PgClient.PgClientConfig): PgClient.PgPoolConfig => ({
  applicationName: budget.name,
  maxConnections: budget.connections,
  minConnections: 0,
  keepAlive: "5 seconds", // one that is idle behind a dead network is told so within 15
  idleTimeout: "1 minute", // lanes come back every few seconds, whatever the client's own pool does meanwhile
  // As large as a value of PostgreSQL's can be. A job that could not be read would keep its queue from being claimed.
  maxMessageSize: 1_073_741_824,
  multiplex: false, // a statement that shares its connection cannot be cancelled
  startupParameters: {
    ...config.startupParameters,
    statement_timeout: `${Duration.toMillis(budget.statementTimeout)}`,
    lock_timeout: `${Duration.toMillis(budget.lockTimeout)}`,
    // Tables grow from nothing to a million rows and back: a plan that was kept from an empty one would read all of it.
    plan_cache_mode: "force_custom_plan",
    // Statements over the ring look dear to the planner, whatever lies in it: to compile one takes longer than to run it.
    jit: "off",
    // What waited for a row must see what became of it: of a stricter level only errors would come, under load most of all.
    default_transaction_isolation: "read committed",
    idle_in_transaction_session_timeout: "5000" // a frozen process must not hold rows for longer than a leader
  }
})
