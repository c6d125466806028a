/** What is told of jobs, and the follow-ups they declared when they were enqueued. */
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import type { Event, EventId, EventType, FollowUp, FollowUps } from "../../domain/Event.ts"
import type { Place } from "../../domain/Job.ts"
import { refusals, type EventsTended } from "../Store.ts"
import { type Contents, type Job, put, type Time, type Told } from "./Contents.ts"
import { enqueue } from "./enqueue.ts"

/** Writes an event, and enqueues what is to follow. */
export const tell = (
  contents: Contents,
  now: Time,
  job: Job,
  type: EventType,
  details: Readonly<Record<string, unknown>>
): void => {
  const { attempt, crashes, id, kind, queue } = job
  const event = { type, job: id, kind, queue, attempt, details, at: now }
  contents.events.push({
    ...event,
    id: ++contents.numbers.event as unknown as EventId,
    position: undefined,
    takenAt: -Infinity,
    tries: 0,
    delivered: false
  })
  const carried = (job.details ?? {}) as { readonly followUps?: FollowUps; readonly trace?: unknown }
  const spec = type === "rescued" || type === "died" ? carried.followUps?.[type] : undefined
  if (spec === undefined || !isWhole(spec)) return
  const own = { ...spec.details, ...(carried.trace === undefined ? {} : { trace: carried.trace }) }
  enqueue(contents, now, [
    {
      kind: spec.kind,
      queue: spec.queue,
      priority: spec.priority,
      payload: { type, job: id, kind, attempt, rescues: crashes, reason: details["reason"] ?? null },
      details: Object.keys(own).length === 0 ? undefined : own,
      deadline: spec.deadlineMs === undefined ? undefined : Duration.millis(spec.deadlineMs)
    }
  ])
}

/** It came from outside and is read late: a fault in it must not keep a job from dying. */
const isWhole = ({ deadlineMs = 1, kind, priority, queue }: FollowUp): boolean =>
  Boolean(kind) && Boolean(queue) && /^\d$/.test(String(priority)) && /^[1-9]\d{0,14}$/.test(String(deadlineMs))

/** Every death comes through here, after its line was written. */
export const bury = (contents: Contents, now: Time, job: Job): Place => {
  const reason = job.history.at(-1)?.reason ?? ""
  tell(contents, now, job, "died", { reason, failures: job.failures, rescues: job.crashes })
  return put(contents, job, { place: "dead" })
}

export const events = (
  contents: Contents,
  _now: Time,
  { after, limit }: { readonly after: bigint; readonly limit: number }
): ReadonlyArray<Event> =>
  contents.events
    .filter(({ position }) => position !== undefined && position > after)
    .toSorted(byPosition)
    .slice(0, limit)
    .map(view)

export const tendEvents = (
  contents: Contents,
  now: Time,
  options: { readonly limit: number; readonly keep: Duration.Duration; readonly sink: boolean }
): EventsTended => {
  const fresh = contents.events.filter(({ position }) => position === undefined).slice(0, options.limit)
  const keep = Duration.toMillis(options.keep)
  if (options.sink) contents.sinkSeen = now
  const wanted = options.sink || contents.sinkSeen > now - keep
  const old = contents.events
    .filter((event) => event.position !== undefined && event.at < now - keep)
    .filter(({ delivered }) => delivered || !wanted)
    .slice(0, options.limit)
  for (const event of fresh) event.position = ++contents.numbers.position
  contents.events = contents.events.filter((event) => !old.includes(event))
  const undelivered = contents.events.some(({ delivered, position }) => position !== undefined && !delivered)
  return { numbered: fresh.length, forgotten: old.length, undelivered }
}

export const takeEvents = (
  contents: Contents,
  now: Time,
  { limit, stuckAfter }: { readonly limit: number; readonly stuckAfter: Duration.Duration }
): ReadonlyArray<Event> => {
  const due = contents.events
    .filter(({ delivered, position }) => position !== undefined && !delivered)
    .filter(({ takenAt }) => takenAt <= now - Duration.toMillis(stuckAfter))
    .toSorted((a, b) => a.tries - b.tries || byPosition(a, b))
    .slice(0, limit)
  for (const event of due) Object.assign(event, { takenAt: now, tries: event.tries + 1 })
  return due.toSorted(byPosition).map(view)
}

const undelivered = (contents: Contents, ids: ReadonlyArray<EventId>): ReadonlyArray<Told> =>
  contents.events.filter(({ delivered, id }) => ids.includes(id) && !delivered)

export const eventsDelivered = (contents: Contents, _now: Time, ids: ReadonlyArray<EventId>): void => {
  for (const event of undelivered(contents, ids)) event.delivered = true
}

export const eventsRefused = (
  contents: Contents,
  _now: Time,
  { refused, untried }: { readonly refused: ReadonlyArray<EventId>; readonly untried: ReadonlyArray<EventId> }
): void => {
  for (const event of undelivered(contents, [...refused, ...untried])) {
    const tried = refused.includes(event.id)
    if (event.takenAt === -Infinity || (tried && event.tries >= refusals)) continue
    event.takenAt = -Infinity
    if (!tried) event.tries--
  }
}

const byPosition = (a: Told, b: Told): number => Number(a.position! - b.position!)

const view = ({ at, attempt, details, id, job, kind, position, queue, type }: Told): Event => ({
  id,
  position: position!,
  at: DateTime.makeUnsafe(at),
  type,
  job,
  kind,
  queue,
  attempt,
  details: structuredClone(details)
})
