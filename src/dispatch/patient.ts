/**
 * A store for one who does not wait for ever. A connection that fell silent, behind a router that forgot it, would be
 * noticed by TCP after a quarter of an hour; until then a worker would beat on another one and claim nothing.
 *
 * What is given up may have happened. All of it can be said again: the fence refuses a second outcome, and the leases of
 * a claim whose answer never came are given back by a beat.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { SqlError, StatementTimeoutError } from "effect/sql/SqlError"
import type { Store } from "../store/Store.ts"

const least = Duration.seconds(5) // a server under load answers a claim in a tenth of that

/** Two heartbeats: short of when others think that this worker is gone. */
export const patienceOf = (heartbeat: Duration.Duration) => Duration.max(Duration.times(heartbeat, 2), least)

export const patient = (store: Store["Service"], patience: Duration.Duration): Store["Service"] => {
  const within = <A>(statement: Effect.Effect<A, SqlError>): Effect.Effect<A, SqlError> =>
    Effect.timeoutOrElse(statement, {
      duration: patience,
      orElse: () => {
        const message = `no answer in ${Duration.format(patience)}`
        return Effect.fail(new SqlError({ reason: new StatementTimeoutError({ message, cause: new Error(message) }) }))
      }
    })
  return {
    ...store,
    claim: (options) => within(store.claim(options)),
    begin: (worker, leases) => within(store.begin(worker, leases)),
    finish: (worker, ends) => within(store.finish(worker, ends)),
    release: (worker, leases) => within(store.release(worker, leases)),
    register: (...about) => within(store.register(...about)),
    beat: (worker) => within(store.beat(worker)),
    forget: (worker) => within(store.forget(worker)),
    unhandled: (options) => within(store.unhandled(options))
  }
}
