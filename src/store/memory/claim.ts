/** ready → running. */
import * as DateTime from "effect/DateTime"
import * as Option from "effect/Option"
import type { Claim, Claimed, ClaimOptions, LeaseId } from "../Store.ts"
import { compare, type Contents, type Job, type Lease, put, type Time } from "./Contents.ts"

export const claim = (contents: Contents, now: Time, options: ClaimOptions): Claim => {
  const worker = contents.workers.get(options.worker)
  if (worker === undefined || worker.dead) return { jobs: [], found: "empty" }
  const shared = new Map<string, Lease>()
  const takes = options.queues.map(({ limit, queue }) =>
    claimable(contents, queue, options.kinds)
      .slice(0, Math.max(0, limit))
      .map((job) => run(contents, job, leaseFor(contents, now, options, shared, job)))
  )
  const full = takes.every((take, index) => take.length >= options.queues[index]!.limit)
  const jobs = takes.flat()
  return { jobs, found: jobs.length === 0 ? "empty" : full ? "full" : "short" }
}

const claimable = (contents: Contents, queue: string, kinds: ReadonlyArray<string>): ReadonlyArray<Job> =>
  contents.paused.has(queue)
    ? []
    : [...contents.at.ready].filter((job) => job.queue === queue && kinds.includes(job.kind)).toSorted(byTurn)

const byTurn = (a: Job, b: Job): number => {
  if (a.pointer.place !== "ready" || b.pointer.place !== "ready") return 0
  return (
    a.priority - b.priority ||
    Number(a.pointer.fresh) - Number(b.pointer.fresh) ||
    compare(a.pointer.turn, b.pointer.turn)
  )
}

/** Fresh jobs of one claim that are alike share a lease; one that was ready before has its own, because its counts are its own. */
const leaseFor = (
  contents: Contents,
  now: Time,
  { worker }: ClaimOptions,
  shared: Map<string, Lease>,
  job: Job
): Lease => {
  const key = JSON.stringify([job.queue, job.kind, job.priority, job.deadline])
  const fresh = job.pointer.place === "ready" && job.pointer.fresh
  const found = fresh ? shared.get(key) : undefined
  if (found !== undefined) return found
  const lease: Lease = {
    id: ++contents.numbers.lease as unknown as LeaseId,
    worker,
    deadline: job.deadline === undefined ? undefined : now + job.deadline,
    jobs: new Set()
  }
  contents.leases.set(lease.id, lease)
  if (fresh) shared.set(key, lease)
  return lease
}

const run = (contents: Contents, job: Job, lease: Lease): Claimed => {
  put(contents, job, { place: "running", lease })
  job.attempt++
  return {
    id: job.id,
    lease: lease.id,
    kind: job.kind,
    queue: job.queue,
    priority: job.priority,
    attempt: job.attempt,
    failures: job.failures,
    crashes: job.crashes,
    payload: structuredClone(job.payload),
    details: structuredClone(job.details),
    enqueuedAt: DateTime.makeUnsafe(job.enqueuedAt),
    deadline: Option.map(Option.fromUndefinedOr(lease.deadline), DateTime.makeUnsafe)
  }
}
