/** – → ready or scheduled, unless the last job under the key stands where it counts. */
import * as Option from "effect/Option"
import type { Details } from "../../domain/Details.ts"
import { isOver } from "../../domain/Job.ts"
import { storable } from "../../domain/json.ts"
import { millis } from "../../domain/millis.ts"
import type { Enqueued, NewJob, Uniqueness } from "../Store.ts"
import { type Contents, type Job, put, type Time, writeOutside } from "./Contents.ts"
import { dueTime, enqueue } from "./enqueue.ts"

type UniqueJob = NewJob & { readonly unique: Uniqueness }

export const enqueueUnique = (contents: Contents, now: Time, jobs: ReadonlyArray<UniqueJob>): ReadonlyArray<Enqueued> =>
  jobs.map((job) => enqueueOne(contents, now, job))

const enqueueOne = (contents: Contents, now: Time, newJob: UniqueJob): Enqueued => {
  const key = keyOf(newJob)
  const held = contents.uniques.get(entryOf(newJob.kind, key))
  const { onConflict, period } = newJob.unique
  const counts = held !== undefined && (period === undefined || held.since + millis(period) > now)
  const there = counts ? inTheWay(contents, newJob.unique, held.id) : undefined
  const gone = counts && isGone(contents, newJob.unique, held.id)
  const enter = (job: NewJob, outcome: Enqueued["outcome"]): Enqueued => {
    const [id] = enqueue(contents, now, [{ ...job, details: { ...Object(job.details), unique: key } }])
    contents.uniques.set(entryOf(newJob.kind, key), {
      id: id!,
      since: now,
      until: period === undefined ? 0 : now + millis(period)
    })
    return { id: id!, outcome, former: Option.fromUndefinedOr(outcome === "enqueued" ? undefined : held?.id) }
  }
  if (gone && onConflict !== "replace" && onConflict !== "merge") {
    return { id: held!.id, outcome: "kept", former: Option.none() }
  }
  if (there === undefined) return enter(newJob, gone ? "replaced" : "enqueued")
  switch (onConflict) {
    case "keep":
      return { id: there.id, outcome: "kept", former: Option.none() }
    case "debounce":
      if (there.pointer.place !== "scheduled") return { id: there.id, outcome: "kept", former: Option.none() }
      put(contents, there, { place: "scheduled", runAt: dueTime(newJob, now) })
      return { id: there.id, outcome: "debounced", former: Option.none() }
    case "replace":
    case "merge": {
      const merges = onConflict === "merge" && !isStarted(there)
      stop(contents, there, `${merges ? "merged into" : "replaced by"} the next one under its key`)
      if (!merges) return enter(newJob, "replaced")
      const payload = storable(newJob.payload)
      const both = hasFields(there.payload) && hasFields(payload) ? { ...there.payload, ...payload } : payload
      return enter({ ...newJob, payload: both }, "merged")
    }
  }
}

const hasFields = (payload: unknown): payload is object =>
  typeof payload === "object" && payload !== null && !Array.isArray(payload)

const inTheWay = (contents: Contents, { places }: Uniqueness, id: Job["id"]): Job | undefined => {
  const job = contents.jobs.get(id)
  return job !== undefined && places.includes(job.pointer.place) ? job : undefined
}

/** Within a period a job that has passed its retention counts as completed. */
const isGone = (contents: Contents, { period, places }: Uniqueness, id: Job["id"]): boolean =>
  period !== undefined && places.includes("completed") && !contents.jobs.has(id)

const isStarted = ({ pointer: { place } }: Job): boolean => place === "running" || isOver(place)

/** Cancels what has not started, and marks what runs. */
const stop = (contents: Contents, job: Job, reason: string): void => {
  if (job.pointer.place === "running") job.cancelling ??= reason
  if (isStarted(job)) return
  writeOutside(job, { state: "cancelled", reason })
  put(contents, job, { place: "cancelled" })
}

/** Keys belong to a kind. */
const entryOf = (kind: string, key: string): string => JSON.stringify([kind, key])

/** Takes the key of a job back that was over, or tells the job that has it now and is not over. */
export const takeBack = (contents: Contents, { details, enqueuedAt, id, kind }: Job): Job | undefined => {
  const { unique } = Object(details) as Details
  if (unique === undefined) return undefined
  const entry = entryOf(kind, unique)
  const held = contents.uniques.get(entry)
  const holder = held === undefined || held.id === id ? undefined : contents.jobs.get(held.id)
  if (holder !== undefined && !isOver(holder.pointer.place)) return holder
  contents.uniques.set(entry, { since: enqueuedAt, until: 0, ...held, id })
  return undefined
}

const keyOf = ({ payload, unique: { by } }: UniqueJob): string => {
  if (by === "payload") return `payload ${JSON.stringify(canonical(storable(payload)))}`
  if ("key" in by) return `key ${by.key}`
  const fields = Object(storable(payload)) as Readonly<Record<string, unknown>>
  const chosen = [...new Set(by.fields)].toSorted().map((field) => [field, canonical(fields[field] ?? null)])
  return `fields ${JSON.stringify(chosen)}`
}

/** The same for every order in which the fields of an object were written. */
const canonical = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(canonical)
  if (typeof value !== "object" || value === null) return value
  return Object.entries(value)
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, field]) => ({ [name]: canonical(field) }))
}
