/** Tells from the last run of each lane, wherever it was, whether anybody maintains: readers need no process to ask. */
import * as Duration from "effect/Duration"
import * as Option from "effect/Option"
import type { LaneRun } from "./store/Store.ts"

/** Runs are kept every 5 seconds, and a follower leads within 10: longer than both, there is nobody. */
export const unattendedAfter = Duration.seconds(30)

/** How long ago any lane ran last. `None`: none ever did. */
export const lastRun = (runs: ReadonlyArray<LaneRun>): Option.Option<Duration.Duration> =>
  runs.length === 0 ? Option.none() : Option.some(runs.map(({ age }) => age).reduce(Duration.min))

export const isMaintained = (runs: ReadonlyArray<LaneRun>): boolean =>
  Option.exists(lastRun(runs), (age) => Duration.isLessThanOrEqualTo(age, unattendedAfter))

/** A lane that has not run although others may have: its last run is older than it can be while somebody runs it. */
export const isStopped = ({ age }: LaneRun, interval: Duration.Duration): boolean =>
  Duration.isGreaterThan(age, Duration.max(unattendedAfter, Duration.times(interval, 3)))
