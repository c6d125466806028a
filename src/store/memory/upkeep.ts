/** What maintenance asks beside moves. There are no pieces here: what is past its retention is let go of job by job. */
import * as Duration from "effect/Duration"
import * as Option from "effect/Option"
import type { Findings, PieceState, QueueStats, Reclaimed, Reconciled, Retired, Stats } from "../Upkeep.ts"
import { numberOf } from "../../domain/Job.ts"
import { type Contents, type Job, remove, type Time } from "./Contents.ts"
import { retireNotes } from "./notes.ts"

const retention = Duration.toMillis("24 hours")
const deadRetention = Duration.toMillis("30 days")

const forget = (contents: Contents, jobs: ReadonlyArray<Job>): number => {
  for (const job of jobs) {
    remove(contents, job)
    contents.jobs.delete(job.id)
  }
  return jobs.length
}

const withoutHistory = ({ details }: Job): boolean => Object(details).keep === false

export const reclaim = (contents: Contents, now: Time, { limit }: { readonly limit: number }): Reclaimed => {
  const over = [...contents.at.completed, ...contents.at.cancelled].filter(
    (job) => job.since < now - retention || withoutHistory(job)
  )
  const cleared = forget(contents, over.slice(0, limit))
  return { emptied: 0, rewritten: 0, evacuated: 0, cleared, full: cleared === limit }
}

export const storage = (): ReadonlyArray<PieceState> => []

export const retire = (contents: Contents, now: Time, { limit }: { readonly limit: number }): Retired => {
  const past = [...contents.at.dead].filter(({ since }) => since < now - deadRetention)
  const free = [...contents.uniques]
    .filter(([, { id, until }]) => until < now && !contents.jobs.has(id))
    .slice(0, limit)
  for (const [key] of free) contents.uniques.delete(key)
  return { dead: forget(contents, past.slice(0, limit)), keys: free.length, notes: retireNotes(contents, limit) }
}

export const trimWorkers = (
  contents: Contents,
  now: Time,
  { after, limit }: { readonly after: Duration.Duration; readonly limit: number }
): number => {
  const holders = new Set([...contents.leases.values()].map(({ worker }) => worker))
  const past = [...contents.workers.values()]
    .filter(
      ({ deadSince, id }) => deadSince !== undefined && deadSince < now - Duration.toMillis(after) && !holders.has(id)
    )
    .slice(0, limit)
  for (const { id } of past) contents.workers.delete(id)
  return past.length
}

const standing = ["ready", "scheduled", "waiting", "running", "dead"] as const
const noDepth = { ready: 0, scheduled: 0, waiting: 0, running: 0, dead: 0 }

export const takeStats = (contents: Contents, now: Time): boolean => {
  const before = contents.stats
  const names = new Set([...contents.jobs.values()].map(({ queue }) => queue))
  for (const { queue } of before?.queues ?? []) names.add(queue)
  const unfinished = ({ ready, running, scheduled, waiting }: QueueStats["depth"]) =>
    ready + scheduled + waiting + running
  const queues = [...names].toSorted().map((queue): QueueStats => {
    const depth = { ...noDepth }
    for (const place of standing) {
      for (const job of contents.at[place]) if (job.queue === queue) depth[place]++
    }
    const ready = [...contents.at.ready].filter((job) => job.queue === queue).map(({ since }) => now - since)
    const was = before?.queues.find((one) => one.queue === queue)?.depth ?? noDepth
    const enqueued = [...contents.jobs.values()].filter(
      (job) => before !== undefined && job.queue === queue && numberOf(job.id) > before.last
    ).length
    return {
      queue,
      depth,
      oldest: ready.length === 0 ? Option.none() : Option.some(Duration.millis(Math.max(...ready))),
      enqueued,
      finished: before === undefined ? 0 : Math.max(0, unfinished(was) + enqueued - unfinished(depth))
    }
  })
  contents.stats = {
    takenAt: now,
    over: before && now - before.takenAt,
    last: contents.numbers.job,
    queues: queues.filter(({ depth, enqueued, finished }) => unfinished(depth) + depth.dead + enqueued + finished > 0)
  }
  return true
}

export const stats = ({ stats }: Contents, now: Time): Option.Option<Stats> =>
  Option.map(Option.fromUndefinedOr(stats), ({ over, queues, takenAt }) => ({
    age: Duration.millis(now - takenAt),
    over: Option.map(Option.fromUndefinedOr(over), Duration.millis),
    queues
  }))

/** Those that are ready again go before fresh ones of their priority, and can come back for ever. */
const turnOf = ({ pointer, priority }: Job) => 2 * priority + (pointer.place === "ready" && pointer.fresh ? 1 : 0)

export const lift = (
  contents: Contents,
  now: Time,
  { limit, step }: { readonly step: Duration.Duration; readonly limit: number }
): number => {
  const ready = [...contents.at.ready].filter(({ queue }) => !contents.paused.has(queue))
  const level = ({ since }: Job) => Math.max(0, 9 - Math.floor((now - since) / Duration.toMillis(step)))
  const late = ready
    .filter((job) => job.priority > level(job))
    .filter((job) => ready.some((other) => other.queue === job.queue && turnOf(other) < turnOf(job)))
    .slice(0, limit)
  for (const job of late) job.priority = level(job)
  return late.length
}

/** Here a job's pointer is part of it: nothing can contradict. */
export const reconcile = (): Reconciled => ({ repaired: {}, reported: [], queues: [], full: false })

export const findings = (): Option.Option<Findings> => Option.some({ age: Duration.zero, damage: {} })

export const readyQueues = (contents: Contents): ReadonlyArray<string> =>
  [...new Set([...contents.at.ready].map(({ queue }) => queue))].toSorted()
