/**
 * Knows whether the database answers this process, by asking it now and then. A leader is not asked for: its lanes say
 * so by themselves, and their connections are not to be waited on.
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import { Runtime } from "../roles/Runtime.ts"
import { rootMessage } from "../store/postgres/DatabaseError.ts"
import type { Store } from "../store/Store.ts"
import { forLooking, type StoreConnections } from "../StoreConnections.ts"

const every = Duration.seconds(2)
const allowed = Duration.seconds(2) // for one answer
const patience = Duration.seconds(5) // one answer that did not come is over after 4

interface Reach {
  /** A sentence, while the database has not answered for too long. */
  readonly away: Effect.Effect<string | null>
}

export const watchReach: Effect.Effect<Reach, never, Runtime | Scope.Scope | Store | StoreConnections> = Effect.gen(
  function* () {
    const { status } = yield* Runtime
    const asking = Effect.flatMap(forLooking, (store) => store.leader)
    let missing: { readonly since: number; readonly reason: string } | undefined
    const answered = Effect.sync(() => void (missing = undefined))
    const missed = (since: number, reason: string) =>
      Effect.sync(() => void (missing = { since: missing?.since ?? since, reason }))

    const ask = Effect.flatMap(Clock.currentTimeMillis, (now) =>
      asking.pipe(
        Effect.timeout(allowed),
        Effect.matchEffect({
          onSuccess: () => answered,
          onFailure: (error) =>
            missed(now, error._tag === "SqlError" ? rootMessage(error) : `no answer in ${Duration.format(allowed)}`)
        })
      )
    )
    const look = Effect.flatMap(status, ({ phase, term }) =>
      phase === "running" && Option.isNone(term) ? ask : answered
    )
    yield* look.pipe(Effect.repeat(Schedule.spaced(every)), Effect.withTracerEnabled(false), Effect.forkScoped)

    const away = Effect.map(Clock.currentTimeMillis, (now) => {
      if (missing === undefined || now - missing.since <= Duration.toMillis(patience)) return null
      const seconds = Math.round((now - missing.since) / 1_000)
      return `The database has not answered for ${seconds} s (${missing.reason}): see that it runs and can be reached`
    })
    return { away }
  }
)
