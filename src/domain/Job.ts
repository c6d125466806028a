/** Names a job and the places where it can stand. */
import type * as Brand from "effect/Brand"
import * as Option from "effect/Option"

/** Where a job stands. It stands in exactly one place. */
export type Place = "scheduled" | "ready" | "running" | "waiting" | "completed" | "cancelled" | "dead"

export const places: ReadonlyArray<Place> = [
  "scheduled",
  "ready",
  "running",
  "waiting",
  "completed",
  "cancelled",
  "dead"
]

/** Nothing becomes of it by itself any more. */
export const isOver = (place: Place): boolean => place === "completed" || place === "cancelled" || place === "dead"

/**
 * Names a job for its whole life: `<slot>-<number>`. The slot says which piece of storage was written at enqueue, so
 * that a look-up opens one piece and not all of them; the number alone is unique, and grows with enqueue.
 */
export type JobId = string & Brand.Brand<"lanekeeper/JobId">

const pattern = /^(0|[1-9]\d{0,3})-([1-9]\d{0,18})$/

export const makeId = (slot: number, number: bigint): JobId => `${slot}-${number}` as JobId

/** Reads an id that came from outside. `None` when it cannot be one. */
export const parseId = (text: string): Option.Option<JobId> => {
  const match = pattern.exec(text)
  return match === null || BigInt(match[2]!) > 9223372036854775807n ? Option.none() : Option.some(text as JobId)
}

export const slotOf = (id: JobId): number => Number(id.slice(0, id.indexOf("-")))

export const numberOf = (id: JobId): bigint => BigInt(id.slice(id.indexOf("-") + 1))
