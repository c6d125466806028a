/** The moves of one job, asked for from outside. */
import type * as Duration from "effect/Duration"
import * as Option from "effect/Option"
import type { JobId } from "../../domain/Job.ts"
import { storable } from "../../domain/json.ts"
import { millis } from "../../domain/millis.ts"
import type { MoveResult, Resumption } from "../Store.ts"
import {
  byNumber,
  type Contents,
  type Job,
  moveOne,
  put,
  putDelayed,
  putReady,
  remove,
  type Time,
  writeOutside
} from "./Contents.ts"
import { bury } from "./events.ts"
import { takeBack } from "./unique.ts"

export const resume = (contents: Contents, now: Time, token: string, how: Resumption): MoveResult =>
  moveOne(oldestWaiting(contents, token), ["waiting"], (job) => {
    switch (how._tag) {
      case "Resumed":
        writeOutside(job, { state: "resumed", output: storable(how.value) })
        return putDelayed(contents, job, now, how.in === undefined ? 0 : millis(how.in))
      case "Completed":
        writeOutside(job, { state: "completed", output: storable(how.output) })
        return put(contents, job, { place: "completed" })
      case "Died":
        writeOutside(job, { state: "died", reason: how.reason })
        return bury(contents, now, job)
      case "Cancelled":
        writeOutside(job, { state: "cancelled", reason: how.reason })
        return put(contents, job, { place: "cancelled" })
    }
  })

/** Tokens are drawn at random; should two jobs wait with one, the older is meant first. */
const oldestWaiting = (contents: Contents, token: string): Job | undefined =>
  [...contents.at.waiting]
    .filter((job) => job.pointer.place === "waiting" && job.pointer.token === token)
    .toSorted(byNumber)[0]

export const cancel = (contents: Contents, _now: Time, id: JobId, reason: string): MoveResult => {
  const job = contents.jobs.get(id)
  if (job?.pointer.place === "running") job.cancelling ??= reason
  return moveOne(job, ["scheduled", "ready", "waiting"], (job) => {
    writeOutside(job, { state: "cancelled", reason })
    return put(contents, job, { place: "cancelled" })
  })
}

export const setAside = (contents: Contents, now: Time, id: JobId, reason: string): MoveResult =>
  moveOne(contents.jobs.get(id), ["scheduled", "ready", "waiting"], (job) => {
    writeOutside(job, { state: "set aside", reason })
    return bury(contents, now, job)
  })

export const runNow = (contents: Contents, _now: Time, id: JobId): MoveResult =>
  moveOne(contents.jobs.get(id), ["scheduled"], (job) => putReady(contents, job))

export const postpone = (contents: Contents, now: Time, id: JobId, to: Duration.Duration): MoveResult =>
  moveOne(contents.jobs.get(id), ["scheduled"], (job) =>
    put(contents, job, { place: "scheduled", runAt: now + millis(to) })
  )

export const reassign = (
  contents: Contents,
  _now: Time,
  id: JobId,
  to: { readonly queue?: string | undefined; readonly priority?: number | undefined }
): MoveResult =>
  moveOne(contents.jobs.get(id), ["ready"], (job) => {
    job.queue = to.queue ?? job.queue
    job.priority = to.priority ?? job.priority
    return putReady(contents, job)
  })

export const redrive = (contents: Contents, _now: Time, id: JobId): MoveResult => {
  const dead = contents.jobs.get(id)
  const holder = dead?.pointer.place === "dead" ? takeBack(contents, dead) : undefined
  if (holder !== undefined) return { moved: false, place: Option.some("dead"), heldBy: holder.id }
  return moveOne(dead, ["dead"], (job) => {
    job.failures = 0
    job.crashes = 0
    return putReady(contents, job)
  })
}

export const purge = (contents: Contents, _now: Time, id: JobId): boolean => {
  const job = contents.jobs.get(id)
  if (job?.pointer.place !== "dead") return false
  remove(contents, job)
  contents.purged.set(id, job)
  return contents.jobs.delete(id)
}
