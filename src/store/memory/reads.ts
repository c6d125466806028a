/** Where jobs stand, and what became of them so far. */
import * as DateTime from "effect/DateTime"
import * as Option from "effect/Option"
import { type JobId, numberOf, type Place } from "../../domain/Job.ts"
import type { JobView, PageOptions } from "../Store.ts"
import { byNumber, type Contents, type Job, type Time } from "./Contents.ts"

export const place = (contents: Contents, _now: Time, id: JobId): Option.Option<Place> =>
  Option.map(find(contents, id), (job) => job.pointer.place)

export const show = (contents: Contents, _now: Time, id: JobId): Option.Option<JobView> =>
  Option.map(find(contents, id), view)

export const page = (contents: Contents, _now: Time, options: PageOptions): ReadonlyArray<JobView> =>
  [...contents.at[options.place]]
    .filter((job) => options.queue === undefined || job.queue === options.queue)
    .filter((job) => options.after === undefined || numberOf(job.id) < numberOf(options.after))
    .toSorted((a, b) => byNumber(b, a))
    .slice(0, options.limit)
    .map(view)

const find = (contents: Contents, id: JobId): Option.Option<Job> => Option.fromUndefinedOr(contents.jobs.get(id))

const view = (job: Job): JobView => ({
  id: job.id,
  kind: job.kind,
  queue: job.queue,
  priority: job.priority,
  place: job.pointer.place,
  attempt: job.attempt,
  failures: job.failures,
  crashes: job.crashes,
  payload: structuredClone(job.payload),
  details: structuredClone(job.details),
  enqueuedAt: DateTime.makeUnsafe(job.enqueuedAt),
  due: Option.map(Option.fromUndefinedOr(dueOf(job)), DateTime.makeUnsafe),
  worker: job.pointer.place === "running" ? Option.some(job.pointer.lease.worker) : Option.none(),
  history: job.history.map((line) => ({
    attempt: line.attempt,
    state: line.state,
    worker: Option.fromUndefinedOr(line.worker),
    error: structuredClone(line.error ?? null),
    output: structuredClone(line.output ?? null),
    reason: line.reason ?? null
  }))
})

const dueOf = ({ pointer }: Job): Time | undefined => {
  if (pointer.place === "scheduled") return pointer.runAt
  if (pointer.place === "waiting") return pointer.expiresAt
  return pointer.place === "running" ? pointer.lease.deadline : undefined
}
