/** Tells from what the store keeps whether anybody maintains, and who works: readers need no process to ask. */
import * as Duration from "effect/Duration"
import * as Option from "effect/Option"
import type { LaneRun, Leader, WorkerRow } from "./store/Store.ts"

/** A worker that beats: it was not declared dead, and has not been silent for longer than it may. */
export const isAlive = ({ beatAge, declaredDead }: WorkerRow, staleAfter: Duration.Duration): boolean =>
  !declaredDead && Duration.isLessThanOrEqualTo(beatAge, staleAfter)

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
