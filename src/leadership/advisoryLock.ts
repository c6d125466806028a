/**
 * Elects by an advisory lock on a connection that does nothing else. The server frees the lock when the connection is
 * gone: at once when the process dies, and after `idle_session_timeout` when it is frozen or unreachable, for a holder
 * that lives pings every second.
 */
import { PgClient } from "@effect/sql-pg/PgClient"
import * as PgConnection from "@effect/sql-pg/PgConnection"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import type * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import type { SqlError } from "effect/sql/SqlError"
import { jittered } from "../jitter.ts"
import { processName } from "../processName.ts"
import { closingInTime } from "../silence.ts"
import { applicationName } from "../Role.ts"
import { rootMessage } from "../store/postgres/DatabaseError.ts"
import { endTerm, leadLock, nextTerm } from "../store/postgres/leading.ts"
import { leaderChannel, quoted, schemaName } from "../store/postgres/SchemaName.ts"
import type { Term } from "../store/Store.ts"
import { campaigning, type Held, LeadershipLost, retryAfter } from "./campaign.ts"

export interface AdvisoryLockOptions {
  /** Defaults to `lanekeeper`. */
  readonly schema?: string | undefined
  /** Where the server itself is reached, when the client goes through a pooler. Defaults to the client's own. */
  readonly directUrl?: Redacted.Redacted | undefined
  /** Defaults to host and process id. */
  readonly holder?: string | undefined
}

const pingEvery = "1 second"
const pingTimeout = Duration.seconds(3) // with idle_session_timeout, two leaders apart by a dead network are apart for seconds
const idleSessionTimeout = "5000" // milliseconds; survives four pings that were late
const raising = Duration.seconds(30) // the next term waits for statements of the last one

const lost = (error: SqlError) => new LeadershipLost({ reason: rootMessage(error) })

const within =
  (duration: Duration.Duration) =>
  <A>(query: Effect.Effect<A, SqlError>): Effect.Effect<A, LeadershipLost> =>
    query.pipe(
      Effect.mapError(lost),
      Effect.timeoutOrElse({
        duration,
        orElse: () => Effect.fail(new LeadershipLost({ reason: `no answer in ${Duration.format(duration)}` }))
      })
    )

export const byAdvisoryLock = Effect.fnUntraced(function* (options: AdvisoryLockOptions) {
  const { config } = yield* PgClient
  const { directUrl = config.url, holder = processName } = options
  const schema = yield* schemaName(options.schema)
  const channel = leaderChannel(schema)
  const key = leadLock(quoted(schema))

  let warned = false
  const warnOnce = Effect.suspend(() => {
    if (warned) return Effect.void
    warned = true
    return Effect.logWarning(
      "Another process of this schema leads by lease. Set the same LANEKEEPER_LEADERSHIP everywhere: this one waits, but is not told when the lead is free"
    )
  })

  const take = Effect.gen(function* () {
    const connection = yield* PgConnection.make({
      ...config,
      url: directUrl,
      multiplex: false,
      applicationName: yield* applicationName("leader"),
      keepAlive: "5 seconds",
      startupParameters: {
        ...config.startupParameters,
        idle_session_timeout: idleSessionTimeout,
        idle_in_transaction_session_timeout: idleSessionTimeout,
        lock_timeout: `${Duration.toMillis(raising)}`,
        statement_timeout: `${Duration.toMillis(raising)}`
      }
    }).pipe(Effect.mapError(lost))
    const session = yield* connection.pin
    // Its queue fails the moment the connection dies.
    const signals = yield* Effect.mapError(closingInTime(session.listen(channel)), lost)
    const signal = Effect.mapError(Queue.take(signals), lost)

    const later = Effect.raceFirst(Effect.flatMap(jittered(retryAfter), Effect.sleep), signal)
    yield* session.query(`SELECT pg_try_advisory_lock(${key}) AS locked`).pipe(
      within(pingTimeout),
      Effect.map(({ rows }) => rows[0]?.["locked"] === true),
      Effect.tap((locked) => (locked ? Effect.void : later)),
      Effect.repeat({ until: (locked) => locked })
    )
    const term = yield* session.query(nextTerm(quoted(schema)), [holder]).pipe(
      within(raising),
      Effect.map(({ rows }) => rows[0]?.["term"] as Term | undefined),
      Effect.tap((term) => (term === undefined ? Effect.andThen(warnOnce, later) : Effect.void)),
      Effect.repeat({ until: (term) => term !== undefined }),
      Effect.map((term) => term!)
    )
    yield* Effect.addFinalizer(() =>
      session
        .query(`WITH ended AS (${endTerm(quoted(schema))}) SELECT pg_advisory_unlock(${key}), pg_notify($2, '')`, [
          term,
          channel
        ])
        .pipe(within(Duration.seconds(1)), Effect.ignore)
    )
    const ping = session.query("SELECT 1").pipe(within(pingTimeout), Effect.repeat(Schedule.spaced(pingEvery)))
    return {
      term,
      lost: Effect.raceFirst(Effect.andThen(ping, Effect.never), Effect.forever(signal))
    } satisfies Held
  })

  return yield* campaigning(take)
})
