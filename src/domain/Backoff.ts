/** Says how long a job that failed waits for its next attempt. */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import * as Schedule from "effect/Schedule"

const longest = Duration.hours(1)

/** 1 second, doubled with each failure up to an hour, give or take a tenth. */
export const standard: Schedule.Schedule<unknown> = Schedule.exponential("1 second", 2).pipe(
  Schedule.modifyDelay(({ duration }) =>
    Effect.map(Random.nextBetween(0.9, 1.1), (factor) => Duration.times(Duration.min(duration, longest), factor))
  )
)

/** How often a job is tried in all, where nobody says otherwise. */
export const standardAttempts = 20

/**
 * What a schedule says after so many failures: it is asked as often as the job has failed, with the last failure, for
 * what it remembers in one process is not there in the next. `None`: it is done, and so is the job.
 */
export const delayAfter = <Failure>(
  schedule: Schedule.Schedule<unknown, Failure>,
  failures: number,
  failure: Failure
): Effect.Effect<Option.Option<Duration.Duration>> =>
  Effect.gen(function* () {
    const step = yield* Schedule.toStep(schedule)
    let now = yield* Clock.currentTimeMillis
    let delay = Duration.zero
    for (let asked = 0; asked < failures; asked++) {
      const said = yield* step(now, failure)
      delay = said[1]
      now += Duration.toMillis(delay)
    }
    return Option.some(delay)
  }).pipe(
    Effect.catchCause((cause) => (isDone(cause) ? Effect.succeedNone : Effect.failCause(cause as Cause.Cause<never>)))
  )

const isDone = (cause: Cause.Cause<unknown>) => Option.exists(Cause.findErrorOption(cause), Cause.isDone)
