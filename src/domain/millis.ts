import * as Duration from "effect/Duration"

/** Some 30,000 years, which every date can be put off by. One second more than PostgreSQL can add, and no claim of the queue would succeed. */
const longest = 1e15

/** Counts a length of time as stores keep it: in whole milliseconds, and for ever as the longest there is. */
export const millis = (duration: Duration.Duration): number => Math.min(Math.ceil(Duration.toMillis(duration)), longest)
