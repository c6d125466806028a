/** running → wherever each ending leads. */
import { storable } from "../../domain/json.ts"
import type { Acceptance, Ending, EndState } from "../../domain/Attempt.ts"
import type { Place } from "../../domain/Job.ts"
import { millis } from "../../domain/millis.ts"
import type { AttemptEnd, WorkerId } from "../Store.ts"
import { eventOf, isTold, toldOf } from "../told.ts"
import { bury, tell } from "./events.ts"
import { type Contents, type Job, put, putDelayed, putReady, type Time, writeAttempt } from "./Contents.ts"

export const finish = (
  contents: Contents,
  now: Time,
  worker: WorkerId,
  ends: ReadonlyArray<AttemptEnd>
): ReadonlyArray<Acceptance> => ends.map((end) => finishOne(contents, now, worker, end))

const finishOne = (contents: Contents, now: Time, worker: WorkerId, end: AttemptEnd): Acceptance => {
  const job = contents.jobs.get(end.id) ?? contents.purged.get(end.id)
  if (job === undefined) return "refused"
  const holds =
    job.pointer.place === "running" &&
    job.pointer.lease.id === end.lease &&
    job.pointer.lease.worker === worker &&
    job.attempt === end.attempt
  if (holds) {
    endAttempt(contents, now, worker, job, end.ending)
    if (isTold(end))
      tell(contents, now, job, eventOf(end.ending), storable(toldOf(end)) as Readonly<Record<string, unknown>>)
    return "accepted"
  }
  const said = job.history.some(
    (line) => line.attempt === end.attempt && line.worker === worker && line.state === states[end.ending._tag]
  )
  return said ? "repeated" : "refused"
}

const states: Readonly<Record<Ending["_tag"], EndState>> = {
  Completed: "completed",
  Failed: "failed",
  Snoozed: "snoozed",
  Parked: "parked",
  Released: "released",
  Died: "died",
  Cancelled: "cancelled"
}

const endAttempt = (contents: Contents, now: Time, worker: WorkerId, job: Job, ending: Ending): void => {
  const cancelled = isFinal(ending) ? undefined : job.cancelling
  writeAttempt(job, worker, {
    state: states[ending._tag],
    error: "error" in ending ? storable(ending.error) : undefined,
    output: "output" in ending ? storable(ending.output) : undefined,
    reason: cancelled ?? ("reason" in ending ? ending.reason : undefined)
  })
  if (ending._tag === "Failed" || ending._tag === "Died") job.failures++
  if (cancelled !== undefined) put(contents, job, { place: "cancelled" })
  else follow(contents, now, job, ending)
}

/** What has ended for good stays ended, whoever wants it cancelled. */
const isFinal = ({ _tag }: Ending): boolean => _tag === "Completed" || _tag === "Died" || _tag === "Cancelled"

const follow = (contents: Contents, now: Time, job: Job, ending: Ending): Place => {
  switch (ending._tag) {
    case "Completed":
      return put(contents, job, { place: "completed" })
    case "Failed":
      return putDelayed(contents, job, now, millis(ending.retryIn))
    case "Snoozed":
      return putDelayed(contents, job, now, millis(ending.for))
    case "Parked": {
      const expiresAt = now + millis(ending.expiresIn)
      return put(contents, job, { place: "waiting", token: ending.token, expiresAt, onExpiry: ending.onExpiry })
    }
    case "Released":
      return putReady(contents, job)
    case "Died":
      return bury(contents, now, job)
    case "Cancelled":
      return put(contents, job, { place: "cancelled" })
  }
}
