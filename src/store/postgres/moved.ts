/** Adds up what statements moved. */
import type { Moved } from "../Store.ts"

/** Jobs of one queue that went to one place. */
export interface Part {
  readonly place: "ready" | "timed" | "waiting" | "dead" | "cancelled"
  readonly queue: string
  readonly jobs: number
}

export const summed = (parts: ReadonlyArray<Part>): Moved => {
  const count = (place: Part["place"]) => parts.reduce((sum, part) => sum + (part.place === place ? part.jobs : 0), 0)
  const queues = parts.filter(({ place }) => place === "ready").map(({ queue }) => queue)
  return {
    ready: count("ready"),
    scheduled: count("timed"),
    dead: count("dead"),
    cancelled: count("cancelled"),
    queues: [...new Set(queues)].toSorted()
  }
}

export const nothing: Moved = { ready: 0, scheduled: 0, dead: 0, cancelled: 0, queues: [] }

export const sum = (a: Moved, b: Moved): Moved => ({
  ready: a.ready + b.ready,
  scheduled: a.scheduled + b.scheduled,
  dead: a.dead + b.dead,
  cancelled: a.cancelled + b.cancelled,
  queues: [...new Set([...a.queues, ...b.queues])].toSorted()
})

export const isNothing = ({ cancelled, dead, ready, scheduled }: Moved) => cancelled + dead + ready + scheduled === 0
