/** ready → running. */
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Option from "effect/Option"
import type { Claim, Claimed, ClaimOptions, LeaseId, WorkerId } from "../Store.ts"
import { compare, type Contents, type Job, type Lease, put, type Time } from "./Contents.ts"

export const claim = (contents: Contents, now: Time, options: ClaimOptions): Claim => {
  const worker = contents.workers.get(options.worker)
  if (worker === undefined || worker.dead) return { jobs: [], found: "empty" }
  const shared = new Map<string, Lease>()
  const passes = pastBrink(options)
  let full = true
  const jobs = options.queues.flatMap(({ ahead = 0, limit, queue }) => {
    const taken: Array<Claimed> = []
    for (const job of claimable(contents, queue, options.kinds)) {
      if (taken.length === limit + ahead) break
      if (!passes(job)) continue
      taken.push(run(contents, job, leaseFor(contents, now, options, shared, job, taken.length < limit)))
    }
    full &&= taken.length === limit + ahead
    return taken
  })
  return { jobs, found: jobs.length === 0 ? "empty" : full ? "full" : "short" }
}

/** Lets those through that are not on the brink, and as many of the others as there is room for. */
const pastBrink = ({ brink }: ClaimOptions): ((job: Job) => boolean) => {
  let room = brink?.room ?? Infinity
  return (job) => job.crashes < (brink?.from ?? Infinity) || --room >= 0
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
  job: Job,
  begun: boolean
): Lease => {
  const key = JSON.stringify([job.queue, job.kind, job.priority, job.deadline, begun])
  const fresh = job.pointer.place === "ready" && job.pointer.fresh
  const found = fresh ? shared.get(key) : undefined
  if (found !== undefined) return found
  const lease: Lease = {
    id: ++contents.numbers.lease as unknown as LeaseId,
    worker,
    claimedAt: now,
    begun: false,
    deadline: undefined,
    jobs: new Set()
  }
  if (begun) start(lease, now, job)
  contents.leases.set(lease.id, lease)
  if (fresh) shared.set(key, lease)
  return lease
}

/** Jobs of one lease have one deadline. */
const start = (lease: Lease, now: Time, { deadline }: Job) => {
  lease.begun = true
  lease.deadline = deadline === undefined ? undefined : now + deadline
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
    enqueuedAt: job.enqueuedAt,
    claimedAt: DateTime.makeUnsafe(lease.claimedAt),
    deadline: Option.map(Option.fromUndefinedOr(job.deadline), Duration.millis),
    begun: lease.begun
  }
}

export const begin = (
  contents: Contents,
  now: Time,
  worker: WorkerId,
  leases: ReadonlyArray<LeaseId>
): ReadonlyArray<LeaseId> => {
  if (contents.workers.get(worker)?.dead !== false) return []
  const held = [...contents.leases.values()].filter((lease) => lease.worker === worker && leases.includes(lease.id))
  for (const lease of held) if (!lease.begun) start(lease, now, [...lease.jobs][0]!)
  return held.map(({ id }) => id).toSorted(compare)
}

export const unhandled = (
  contents: Contents,
  _now: Time,
  { kinds, queues }: { readonly queues: ReadonlyArray<string>; readonly kinds: ReadonlyArray<string> }
): ReadonlyArray<{ readonly kind: string; readonly queue: string }> => {
  const found = [...contents.at.ready].filter((job) => queues.includes(job.queue) && !kinds.includes(job.kind))
  return [...new Map(found.map(({ kind, queue }) => [`${queue}\0${kind}`, { kind, queue }]))]
    .toSorted(([one], [other]) => compare(one, other))
    .slice(0, 100)
    .map(([, named]) => named)
}
