/**
 * Says which queues have new work, and when workers should beat at once, to this process and to the others on the same
 * store.
 *
 * It is a hint: what is lost costs a poll. Producers pay nothing for it: a NOTIFY inside their transactions would make
 * them commit one after another, so it goes out beside them, once for all queues that were poked within a moment.
 */
import * as PgConnection from "@effect/sql-pg/PgConnection"
import { PgClient } from "@effect/sql-pg/PgClient"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import * as PubSub from "effect/PubSub"
import * as Queue from "effect/Queue"
import * as RcRef from "effect/RcRef"
import type * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import { sending } from "./sending.ts"
import { closingInTime } from "./silence.ts"
import { schemaName, wakeChannel } from "./store/postgres/SchemaName.ts"
import { texts } from "./store/postgres/parameters.ts"

/**
 * A queue; or a beat: a worker has something to hear from the store, such as a job to cancel; or any: notifications may
 * have been lost.
 */
export type Poke = { readonly queue: string } | "beat" | "any"

const pokesKept = 1_024 // a slow subscriber drives on each anyway: of many pokes the last ones say as much as all

const keepAlive = "10 seconds" // a listener behind a dead network is told so within a minute

const connects = Metric.counter("lanekeeper.listener.connects", {
  description: "Times the listener connected: more than once, and notifications may have been lost",
  incremental: true
})

const longestSend = "5 seconds" // a connection that fell silent is given up: what it did not say costs a poll

const beat = "" // as a notification: a queue has a name

const read = (payload: string): Poke => (payload === beat ? "beat" : { queue: payload })

const publish = (pokes: PubSub.PubSub<Poke>, payloads: Iterable<string>) =>
  Effect.asVoid(PubSub.publishAll(pokes, Array.from(payloads, read)))

export class Wakeup extends Context.Service<
  Wakeup,
  {
    /** Says that these queues have work that others can see by now. */
    readonly poke: (queues: Iterable<string>) => Effect.Effect<void>
    /** The same to this process alone, for whoever tells the others in another way. */
    readonly pokeHere: (queues: Iterable<string>) => Effect.Effect<void>
    /** Says that every worker should beat at once. */
    readonly pokeBeat: Effect.Effect<void>
    /** What is poked from now on, here or elsewhere. */
    readonly pokes: Effect.Effect<PubSub.Subscription<Poke>, never, Scope.Scope>
  }
>()("lanekeeper/Wakeup") {
  /** For a store nobody else shares. */
  static readonly layerLocal = Layer.effect(
    this,
    Effect.map(PubSub.sliding<Poke>(pokesKept), (pokes) =>
      this.of({
        poke: (queues) => publish(pokes, queues),
        pokeHere: (queues) => publish(pokes, queues),
        pokeBeat: publish(pokes, [beat]),
        pokes: PubSub.subscribe(pokes)
      })
    )
  )

  static readonly layerPostgres = (options: PostgresOptions = {}) => Layer.effect(this, makePostgres(options))
}

export interface PostgresOptions {
  /** Defaults to `lanekeeper`. */
  readonly schema?: string | undefined
  /** Where LISTEN works, when the client goes through a pooler in transaction mode. Defaults to the client's own. */
  readonly directUrl?: Redacted.Redacted | undefined
}

const makePostgres = Effect.fnUntraced(function* ({ directUrl, schema }: PostgresOptions) {
  const sql = yield* PgClient
  const pokes = yield* PubSub.sliding<Poke>(pokesKept)
  const channel = wakeChannel(yield* schemaName(schema))
  // A hint need not survive a crash: it does not wait for the disk.
  const say = yield* sending((payloads) =>
    sql
      .unsafe(
        `SELECT set_config('synchronous_commit', 'off', true), pg_notify($1, payload) FROM unnest($2::text[]) AS payload`,
        [channel, texts(payloads)]
      )
      .pipe(Effect.timeoutOption(longestSend), Effect.ignore)
  )

  const listen = Effect.gen(function* () {
    const config = directUrl === undefined ? sql.config : { ...sql.config, url: directUrl }
    const connection = yield* PgConnection.make({
      ...config,
      applicationName: "lanekeeper listen",
      keepAlive,
      startupParameters: {
        ...config.startupParameters,
        statement_timeout: "5000",
        lock_timeout: "5000",
        idle_in_transaction_session_timeout: "5000"
      }
    })
    const notifications = yield* closingInTime(connection.listen(channel))
    yield* PubSub.publish(pokes, "any")
    yield* Metric.update(connects, 1)
    return yield* Queue.take(notifications).pipe(
      Effect.flatMap(({ payload }) => PubSub.publish(pokes, read(payload))),
      Effect.forever
    )
  }).pipe(
    Effect.scoped,
    Effect.tapError((error) => Effect.logDebug("Listening again", error)),
    Effect.retry(Schedule.spaced("100 millis"))
  )
  const listener = yield* RcRef.make({ acquire: Effect.forkScoped(listen) })

  const poke = (payloads: Iterable<string>) =>
    Effect.suspend(() => {
      const poked = [...payloads]
      say(poked)
      return publish(pokes, poked)
    })

  return Wakeup.of({
    poke,
    pokeHere: (queues) => publish(pokes, queues),
    pokeBeat: poke([beat]),
    pokes: Effect.andThen(RcRef.get(listener), PubSub.subscribe(pokes))
  })
})
