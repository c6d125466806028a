/** Who works here, and since when they have been silent. */
import * as Duration from "effect/Duration"
import * as Option from "effect/Option"
import type { About, Beat, Serves, StaleWorker, WorkerId, WorkerRow } from "../Store.ts"
import type { ProcessRow } from "../Upkeep.ts"
import { byNumber, compare, type Contents, type Lease, type Time, type Worker } from "./Contents.ts"

export const register = (contents: Contents, now: Time, name: string, serves?: Serves, about?: About): WorkerId => {
  const id = ++contents.numbers.worker as unknown as WorkerId
  contents.workers.set(id, { id, name, serves, about, beats: 0, beatAt: now, dead: false, deadSince: undefined })
  return id
}

export const beat = (contents: Contents, now: Time, id: WorkerId): Beat => {
  const worker = contents.workers.get(id)
  if (worker === undefined || worker.dead) return { alive: false, leases: [], cancelling: [] }
  worker.beats++
  worker.beatAt = now
  const leases = held(contents, id)
  const jobs = leases.flatMap((lease) => [...lease.jobs]).filter((job) => job.cancelling !== undefined)
  return {
    alive: true,
    leases: leases.map((lease) => lease.id),
    cancelling: jobs.toSorted(byNumber).map((job) => job.id)
  }
}

const isWorker = ({ about }: Worker): boolean => about === undefined || about.role === "worker"

export const workers = (contents: Contents, now: Time): ReadonlyArray<WorkerRow> =>
  [...contents.workers.values()].filter(isWorker).map(({ beatAt, beats, dead, id, name, serves }) => ({
    id,
    name,
    serves: Option.fromUndefinedOr(serves),
    beats,
    declaredDead: dead,
    beatAge: Duration.millis(now - beatAt)
  }))

export const declareDead = (contents: Contents, now: Time, id: WorkerId, beats: number): boolean => {
  const worker = contents.workers.get(id)
  if (worker === undefined || worker.dead || worker.beats !== beats) return false
  Object.assign(worker, { dead: true, deadSince: now })
  return true
}

export const watch = (
  contents: Contents,
  now: Time,
  { staleAfter }: { readonly staleAfter: Duration.Duration }
): ReadonlyArray<StaleWorker> => {
  const threshold = Duration.toMillis(staleAfter)
  const { lookedAt, since } = contents.watch
  contents.watch = { since: now - lookedAt > threshold / 2 ? now : since, lookedAt: now }
  for (const worker of contents.workers.values()) {
    const silent = now - Math.max(worker.beatAt, contents.watch.since)
    if (!worker.dead && silent > threshold) Object.assign(worker, { dead: true, deadSince: now })
  }
  return [...contents.workers.values()]
    .filter(({ dead, id }) => dead && held(contents, id).length > 0)
    .map(({ beatAt, id, name }) => ({ id, name, beatAge: Duration.millis(now - beatAt) }))
}

export const forget = (contents: Contents, _now: Time, id: WorkerId): boolean =>
  held(contents, id).length === 0 && contents.workers.delete(id)

const held = (contents: Contents, worker: WorkerId): ReadonlyArray<Lease> =>
  [...contents.leases.values()].filter((lease) => lease.worker === worker).toSorted((a, b) => compare(a.id, b.id))

export const processes = (contents: Contents, now: Time): ReadonlyArray<ProcessRow> =>
  [...contents.workers.values()].map(({ about, beatAt, dead, id, name }) => ({
    id,
    name,
    role: about?.role ?? "worker",
    version: Option.fromUndefinedOr(about?.version),
    lanes: about?.lanes ?? [],
    leads: !dead && about !== undefined && about.holder === contents.leader.holder,
    beatAge: Duration.millis(now - beatAt),
    declaredDead: dead
  }))
