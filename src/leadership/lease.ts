/**
 * Elects by a row that names its holder until a time, by the store's clock. A holder that cannot renew it in time stops
 * its lanes before that time has come.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import { jittered } from "../jitter.ts"
import { processName } from "../processName.ts"
import { Store } from "../store/Store.ts"
import { campaigning, type Held, LeadershipLost, retryAfter } from "./campaign.ts"

export interface LeaseOptions {
  /** How long the lead lasts without being renewed. Defaults to 5 seconds; it is renewed five times in that time. */
  readonly timeToLive?: Duration.Input | undefined
  /** Defaults to host and process id. */
  readonly holder?: string | undefined
}

export const byLease = Effect.fnUntraced(function* (options: LeaseOptions) {
  const store = yield* Store
  const { holder = processName } = options
  const lease = Duration.fromInputUnsafe(options.timeToLive ?? "5 seconds")
  const fifth = Duration.times(lease, 1 / 5)

  const take = Effect.gen(function* () {
    const taken = yield* store.takeLead({ holder, lease }).pipe(
      Effect.mapError((error) => new LeadershipLost({ reason: error.message })),
      Effect.repeat({
        schedule: Schedule.forever.pipe(Schedule.addDelay(() => jittered(retryAfter))),
        until: Option.isSome
      })
    )
    const term = Option.getOrThrow(taken)
    yield* Effect.addFinalizer(() => store.resign(term).pipe(Effect.timeout("1 second"), Effect.ignore))

    // Asked every fifth and answered within three, so that the lanes end a fifth before the row runs out.
    const keep = store.keepLead(term, lease).pipe(
      Effect.retry(Schedule.spaced("100 millis")),
      Effect.mapError((error) => new LeadershipLost({ reason: error.message })),
      Effect.timeoutOrElse({
        duration: Duration.times(fifth, 3),
        orElse: () => Effect.fail(new LeadershipLost({ reason: "it could not be renewed" }))
      }),
      Effect.filterOrFail(
        (kept) => kept,
        () => new LeadershipLost({ reason: "another term has begun" })
      )
    )
    return {
      term,
      lost: Effect.andThen(Effect.repeat(keep, Schedule.spaced(fifth)), Effect.never)
    } satisfies Held
  })

  return yield* campaigning(take)
})
