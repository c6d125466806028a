/** The moves that time, a vanished worker or a lost answer bring about, in batches. */
import * as Duration from "effect/Duration"
import type { Expiry } from "../../domain/Attempt.ts"
import type { Place } from "../../domain/Job.ts"
import type { LeaseId, Moved, Overdue, RescueOptions, WorkerId } from "../Store.ts"
import {
  byNumber,
  compare,
  type Contents,
  type Job,
  type Lease,
  type Line,
  put,
  putReady,
  tally,
  type Time,
  writeAttempt,
  writeOutside
} from "./Contents.ts"
import { bury, tell } from "./events.ts"

export const promote = (contents: Contents, now: Time, { limit }: { readonly limit: number }): Moved => {
  const due = [...contents.at.scheduled].filter((job) => timeOf(job) <= now).toSorted(byTime)
  const { add, moved } = tally()
  for (const job of due.slice(0, limit)) add(job, putReady(contents, job))
  return moved()
}

export const overdue = (contents: Contents, now: Time): Overdue => {
  const since = (times: Iterable<Time>) => Duration.millis(Math.max(0, now - Math.min(now, ...times)))
  const holding = [...contents.workers.values()].filter((worker) =>
    [...contents.leases.values()].some((lease) => lease.worker === worker.id)
  )
  return {
    silent: since(holding.map(({ beatAt }) => Math.max(beatAt, contents.watch.since))),
    untold: since(contents.events.filter(({ position }) => position === undefined).map(({ at }) => at)),
    scheduled: since([...contents.at.scheduled].map(timeOf)),
    deadline: since([...contents.leases.values()].map(({ deadline }) => deadline ?? now)),
    waiting: since([...contents.at.waiting].map(timeOf))
  }
}

export const expireWaits = (contents: Contents, now: Time, { limit }: { readonly limit: number }): Moved => {
  const expired = [...contents.at.waiting].filter((job) => timeOf(job) <= now).toSorted(byTime)
  const { add, moved } = tally()
  for (const job of expired.slice(0, limit)) {
    const policy = job.pointer.place === "waiting" ? job.pointer.onExpiry : "die"
    writeOutside(job, { state: "expired", reason: policy === "retry" ? undefined : "nobody ended the wait in time" })
    add(job, afterExpiry[policy](contents, job, now))
  }
  return moved()
}

const afterExpiry: Readonly<Record<Expiry, (contents: Contents, job: Job, now: Time) => Place>> = {
  retry: putReady,
  die: (contents, job, now) => bury(contents, now, job),
  cancel: (contents, job) => put(contents, job, { place: "cancelled" })
}

export const rescueWorker = (contents: Contents, now: Time, worker: WorkerId, options: RescueOptions): Moved => {
  const declared = contents.workers.get(worker)?.dead === true
  const leases = [...contents.leases.values()].filter((lease) => declared && lease.worker === worker)
  return rescue(contents, now, leases.toSorted(byLease), options)
}

export const rescueOverdue = (contents: Contents, now: Time, options: RescueOptions): Moved => {
  const leases = [...contents.leases.values()].filter((lease) => lease.deadline !== undefined && lease.deadline < now)
  return rescue(
    contents,
    now,
    leases.toSorted((a, b) => compare(a.deadline!, b.deadline!) || byLease(a, b)),
    options
  )
}

const rescue = (
  contents: Contents,
  now: Time,
  oldest: ReadonlyArray<Lease>,
  { crashBudget, limit }: RescueOptions
): Moved =>
  endAll(contents, now, oldest.slice(0, limit), (job, { begun }) => {
    if (!begun) return { line: { state: "released" }, next: "ready" }
    const spent = ++job.crashes > crashBudget
    const reason = spent ? `crash budget spent: rescued ${job.crashes} times` : undefined
    return { line: { state: "rescued", reason }, next: spent ? "dead" : "ready" }
  })

export const release = (contents: Contents, now: Time, worker: WorkerId, leases: ReadonlyArray<LeaseId>): Moved => {
  const own = [...contents.leases.values()].filter((lease) => lease.worker === worker && leases.includes(lease.id))
  return endAll(contents, now, own, () => ({ line: { state: "released" }, next: "ready" }))
}

/** Ends every attempt under the leases. A cancel that waits wins over the next place and gives the reason. */
const endAll = (
  contents: Contents,
  now: Time,
  leases: ReadonlyArray<Lease>,
  end: (job: Job, lease: Lease) => { readonly line: Pick<Line, "state" | "reason">; readonly next: "ready" | "dead" }
): Moved => {
  const { add, moved } = tally()
  for (const lease of leases.toSorted(byLease)) {
    for (const job of [...lease.jobs].toSorted(byNumber)) {
      const { line, next } = end(job, lease)
      const reason = job.cancelling
      writeAttempt(job, lease.worker, reason === undefined ? line : { ...line, reason })
      const place = reason === undefined ? next : "cancelled"
      if (line.state === "rescued") tellRescue(contents, now, job, lease, place)
      if (place === "ready") add(job, putReady(contents, job))
      else add(job, place === "dead" ? bury(contents, now, job) : put(contents, job, { place }))
    }
  }
  return moved()
}

const tellRescue = (contents: Contents, now: Time, job: Job, lease: Lease, place: Place): void => {
  const worker = contents.workers.get(lease.worker)
  tell(contents, now, job, "rescued", {
    worker: String(lease.worker),
    name: worker?.name ?? null,
    silentMs: worker === undefined ? null : now - worker.beatAt,
    rescues: job.crashes,
    place
  })
}

const byLease = (a: Lease, b: Lease): number => compare(a.id, b.id)

const timeOf = ({ pointer }: Job): Time =>
  pointer.place === "scheduled" ? pointer.runAt : pointer.place === "waiting" ? pointer.expiresAt : Infinity

const byTime = (a: Job, b: Job): number => compare(timeOf(a), timeOf(b)) || byNumber(a, b)
