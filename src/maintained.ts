/** Tells from the last run of each lane, wherever it was, whether anybody maintains: readers need no process to ask. */
import * as Duration from "effect/Duration"
import * as Option from "effect/Option"
import type { LaneRun, Leader } from "./store/Store.ts"

/** Runs are kept every 5 seconds, and a follower leads within 10: longer than both, there is nobody. */
export const unattendedAfter = Duration.seconds(30)

/** How long ago any lane ran last. `None`: none ever did. */
export const lastRun = (runs: ReadonlyArray<LaneRun>): Option.Option<Duration.Duration> =>
  runs.length === 0 ? Option.none() : Option.some(runs.map(({ age }) => age).reduce(Duration.min))

export const isMaintained = (runs: ReadonlyArray<LaneRun>): boolean =>
  Option.exists(lastRun(runs), (age) => Duration.isLessThanOrEqualTo(age, unattendedAfter))

/** How long ago a lane can have run last, as it is kept, while somebody runs it. */
const patience = (interval: Duration.Duration) => Duration.max(unattendedAfter, Duration.times(interval, 3))

/** A lane that has not run although others may have. */
export const isStopped = ({ age }: LaneRun, interval: Duration.Duration): boolean =>
  Duration.isGreaterThan(age, patience(interval))

/** A leader that has not led for long enough to be missed at a lane that is not known to have run. */
export const isYoung = ({ holder, leading }: Leader, interval: Duration.Duration): boolean =>
  Option.isSome(holder) && Duration.isLessThanOrEqualTo(leading, patience(interval))
