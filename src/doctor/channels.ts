/** What lies between here and the server: whether a session stays with its connection, and whether notifications come. */
import * as PgConnection from "@effect/sql-pg/PgConnection"
import type { PgClient } from "@effect/sql-pg/PgClient"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Queue from "effect/Queue"
import type * as Redacted from "effect/Redacted"
import { rootMessage } from "../store/postgres/DatabaseError.ts"
import { rounded } from "../texts.ts"
import { fine, type Finding, notice, wrong } from "./Finding.ts"

const patience = "2 seconds"

export interface Channels {
  readonly directUrl?: Redacted.Redacted | undefined
  readonly leadership?: "lock" | "lease" | undefined
  /** Where to listen: a name of its own, for it pokes nobody. */
  readonly channel: string
}

export const channels = Effect.fnUntraced(function* (sql: PgClient, options: Channels) {
  const own = { ...sql.config, applicationName: "lanekeeper doctor" }
  const direct = options.directUrl === undefined ? own : { ...own, url: options.directUrl }
  const swapped = yield* sharesSessions(own)
  const alsoDirect = options.directUrl === undefined ? swapped : yield* sharesSessions(direct)
  return [pooler(swapped, alsoDirect, options), yield* notification(direct, options.channel)]
})

/** Two connections that are open at once have two backends, unless something between swaps sessions under them. */
const sharesSessions = (config: Parameters<typeof PgConnection.make>[0]) =>
  Effect.gen(function* () {
    const pid = Effect.fnUntraced(function* (connection: PgConnection.PgConnection) {
      const { rows } = yield* connection.query("SELECT pg_backend_pid() AS pid", [], false)
      return rows[0]?.["pid"]
    })
    const [one, other] = [yield* PgConnection.make(config), yield* PgConnection.make(config)]
    const pids = [yield* pid(one), yield* pid(other), yield* pid(one), yield* pid(other)]
    return pids[0] === pids[1] || pids[0] !== pids[2] || pids[1] !== pids[3]
  }).pipe(Effect.scoped, Effect.timeoutOption(patience), Effect.option, Effect.map(Option.flatten))

const behind = "set LANEKEEPER_DIRECT_URL to the server itself"

const pooler = (
  swapped: Option.Option<boolean>,
  direct: Option.Option<boolean>,
  { directUrl, leadership }: Channels
): Finding => {
  if (Option.isNone(swapped) || Option.isNone(direct)) {
    return notice(
      "pooler",
      "Whether a pooler swaps sessions could not be told: two connections were not to be had",
      "try again"
    )
  }
  if (!swapped.value && !direct.value) return fine("pooler", "Every connection keeps its session")
  if (directUrl !== undefined && !direct.value)
    return fine("pooler", "A pooler swaps sessions, and there is a direct way past it")
  const consequence =
    leadership === "lease"
      ? "notifications are lost"
      : "nobody can hold the lock of leaders, and notifications are lost"
  return wrong(
    "pooler",
    `A pooler swaps sessions under ${directUrl === undefined ? "DATABASE_URL" : "LANEKEEPER_DIRECT_URL"}: ${consequence}`,
    leadership === "lease" ? behind : `${behind}, or LANEKEEPER_LEADERSHIP to lease and live with polling`
  )
}

/** From NOTIFY to its arrival, on the way that workers listen. */
const notification = (config: Parameters<typeof PgConnection.make>[0], channel: string) =>
  Effect.gen(function* () {
    const listening = yield* PgConnection.make(config)
    const heard = yield* listening.listen(channel)
    const telling = yield* PgConnection.make(config)
    const [took] = yield* Effect.timed(
      Effect.andThen(telling.query(`SELECT pg_notify($1, '')`, [channel], false), Queue.take(heard))
    )
    return fine("notifications", `A notification came back in ${rounded(took)}`)
  }).pipe(
    Effect.scoped,
    Effect.timeoutOrElse({
      duration: patience,
      orElse: () =>
        Effect.succeed(
          wrong(
            "notifications",
            `A notification did not come back in ${Duration.format(Duration.fromInputUnsafe(patience))}: workers find new jobs by polling only`,
            behind
          )
        )
    }),
    Effect.catchTag("SqlError", (error) =>
      Effect.succeed(wrong("notifications", `Notifications cannot be listened to: ${rootMessage(error)}`, behind))
    )
  )
