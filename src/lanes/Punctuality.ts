/**
 * Tells a lane that is delayed from one that was late once. It takes three samples in a row to turn either way, and
 * there is room between the two bounds, so that a lane at the edge says so once.
 */
import * as Duration from "effect/Duration"

export interface Punctuality {
  readonly delayed: boolean
  /** Samples in a row that speak for the other state. */
  readonly against: number
}

export const start: Punctuality = { delayed: false, against: 0 }

const toTurn = 3
const enter = 1.5
const leave = 0.7

export interface Judgement {
  readonly next: Punctuality
  readonly turned: "delayed" | "on time" | undefined
  readonly sample: Duration.Duration
}

/** `sample`: how late a run began or how long it took, whichever is more. */
export const judge = (
  { against, delayed }: Punctuality,
  interval: Duration.Duration,
  sample: Duration.Duration
): Judgement => {
  const share = Duration.toMillis(sample) / Duration.toMillis(interval)
  const speaksAgainst = delayed ? share < leave : share > enter
  const count = speaksAgainst ? against + 1 : 0
  if (count < toTurn) return { next: { delayed, against: count }, turned: undefined, sample }
  return { next: { delayed: !delayed, against: 0 }, turned: delayed ? "on time" : "delayed", sample }
}
