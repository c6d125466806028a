/** What attempts leave for the ones after them. */
import * as DateTime from "effect/DateTime"
import type { JobId } from "../../domain/Job.ts"
import { storable } from "../../domain/json.ts"
import type { Note } from "../../domain/Note.ts"
import type { NewNote, WorkerId } from "../Store.ts"
import type { Contents, Time } from "./Contents.ts"

const mayWrite = (contents: Contents, worker: WorkerId, { attempt, id, lease }: NewNote): boolean => {
  const job = contents.jobs.get(id)
  if (job?.pointer.place !== "running" || job.attempt !== attempt) return false
  return job.pointer.lease.id === lease && job.pointer.lease.worker === worker
}

const write = (contents: Contents, now: Time, { attempt, id, name, value }: NewNote): void => {
  const notes = contents.notes.get(id) ?? new Map<string, Note>()
  contents.notes.set(id, notes.set(name, { name, attempt, at: DateTime.makeUnsafe(now), value: storable(value) }))
}

export const remember = (contents: Contents, now: Time, worker: WorkerId, note: NewNote): boolean => {
  if (!mayWrite(contents, worker, note) || contents.notes.get(note.id)?.has(note.name)) return false
  write(contents, now, note)
  return true
}

export const note = (contents: Contents, now: Time, worker: WorkerId, notes: ReadonlyArray<NewNote>): void => {
  for (const one of notes) if (mayWrite(contents, worker, one)) write(contents, now, one)
}

export const recall = (contents: Contents, _now: Time, id: JobId): ReadonlyArray<Note> =>
  [...(contents.notes.get(id)?.values() ?? [])].toSorted(
    (a, b) => DateTime.Order(a.at, b.at) || (a.name < b.name ? -1 : 1)
  )

/** Notes of jobs that are gone. */
export const retireNotes = (contents: Contents, limit: number): number => {
  const gone = [...contents.notes.keys()].filter((id) => !contents.jobs.has(id)).slice(0, limit)
  for (const id of gone) contents.notes.delete(id)
  return gone.length
}
