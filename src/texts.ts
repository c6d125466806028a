/** Says numbers, times and errors for people. */
import * as Cause from "effect/Cause"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"

/** To the second, or to the millisecond below one. */
export const rounded = (duration: Duration.Duration) => {
  const millis = Duration.toMillis(duration)
  if (millis < 1_000) return `${Math.round(millis)}ms`
  return Duration.format(Duration.seconds(Math.round(millis / 1_000)))
}

/** The largest unit or two: enough to see how long ago something was. */
export const roughly = (duration: Duration.Duration) => rounded(duration).split(" ").slice(0, 2).join(" ")

export const millis = (duration: Duration.Duration) => Math.round(Duration.toMillis(duration))

/** Seen from this machine's clock, which only readers look at. */
export const ago = (time: DateTime.Utc) => Duration.millis(Math.max(0, Date.now() - time.epochMilliseconds))

export const until = (time: DateTime.Utc) => {
  const left = time.epochMilliseconds - Date.now()
  return left >= 0 ? `in ${roughly(Duration.millis(left))}` : `${roughly(Duration.millis(-left))} ago`
}

export const counted = (count: number, one: string, many = `${one}s`) =>
  `${count.toLocaleString("en")} ${count === 1 ? one : many}`

/** Of what an application's own code failed with, whatever that is. */
export const reasonOf = (cause: Cause.Cause<unknown>): string => {
  const error = Cause.squash(cause)
  return error instanceof Error ? error.message : typeof error === "string" ? error : Cause.pretty(cause)
}

/** Of an error as it is stored. */
export const messageOf = (error: unknown): string | null => {
  if (error === null || error === undefined) return null
  if (typeof error === "string") return error
  const { message } = error as { readonly message?: unknown }
  return typeof message === "string" ? message : JSON.stringify(error)
}
