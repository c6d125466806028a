/** – → ready or scheduled. */
import { storable } from "../../domain/json.ts"
import * as DateTime from "effect/DateTime"
import { type JobId, makeId } from "../../domain/Job.ts"
import { millis } from "../../domain/millis.ts"
import type { NewJob } from "../Store.ts"
import { type Contents, type Job, put, type Time } from "./Contents.ts"

export const enqueue = (contents: Contents, now: Time, newJobs: ReadonlyArray<NewJob>): ReadonlyArray<JobId> => {
  // What is fresh queues up as tickets do: one group after another, each in the order given.
  const groups = new Map<string, Array<Job>>()
  const ids = newJobs.map((newJob) => {
    const runAt = dueTime(newJob, now)
    const job: Job = {
      id: makeId(1, ++contents.numbers.job),
      kind: newJob.kind,
      payload: storable(newJob.payload),
      details: storable(newJob.details),
      enqueuedAt: now,
      deadline: newJob.deadline && millis(newJob.deadline),
      queue: newJob.queue,
      priority: newJob.priority,
      pointer: { place: "scheduled", runAt },
      attempt: 0,
      failures: 0,
      crashes: 0,
      since: now,
      cancelling: undefined,
      history: []
    }
    contents.jobs.set(job.id, job)
    if (runAt > now) {
      put(contents, job, job.pointer)
    } else {
      const group = JSON.stringify([job.queue, job.kind, job.priority, job.deadline])
      groups.set(group, [...(groups.get(group) ?? []), job])
    }
    return job.id
  })
  for (const job of [...groups.values()].flat()) {
    put(contents, job, { place: "ready", fresh: true, turn: ++contents.numbers.turn })
  }
  return ids
}

export const dueTime = ({ runAt, runIn }: NewJob, now: Time): Time => {
  if (runAt !== undefined) return DateTime.toEpochMillis(runAt)
  return runIn === undefined ? now : now + millis(runIn)
}
