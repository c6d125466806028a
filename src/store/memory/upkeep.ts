/** What maintenance asks beside moves. There are no pieces here: what is past its retention is let go of job by job. */
import * as Duration from "effect/Duration"
import type { PieceState, Reclaimed, Retired } from "../Upkeep.ts"
import { type Contents, type Job, remove, type Time } from "./Contents.ts"

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
  return { emptied: 0, evacuated: 0, cleared, full: cleared === limit }
}

export const storage = (): ReadonlyArray<PieceState> => []

export const retire = (contents: Contents, now: Time, { limit }: { readonly limit: number }): Retired => {
  const past = [...contents.at.dead].filter(({ since }) => since < now - deadRetention)
  const free = [...contents.uniques].filter(([, id]) => !contents.jobs.has(id)).slice(0, limit)
  for (const [key] of free) contents.uniques.delete(key)
  return { dead: forget(contents, past.slice(0, limit)), keys: free.length }
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
