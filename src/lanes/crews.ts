/**
 * Shares out connections among lanes: one for each class, so that no class waits for another's statements, and one for
 * each lane that is to wait for nobody. With the lock of leaders there are five.
 */
import * as Duration from "effect/Duration"
import type { ConnectionBudget } from "../StoreConnections.ts"
import { lanes } from "./index.ts"
import { classes, type Lane, type LaneClass } from "./Lane.ts"

/** Lanes that share a connection. */
export interface Crew {
  readonly name: string
  readonly class: LaneClass
  readonly lanes: ReadonlyArray<Lane>
}

export const crewsOf = (lanes: ReadonlyArray<Lane>): ReadonlyArray<Crew> => [
  ...lanes.filter(({ apart }) => apart).map((lane) => ({ name: lane.name, class: lane.class, lanes: [lane] })),
  ...classes.map((one) => ({
    name: one,
    class: one,
    lanes: lanes.filter((lane) => lane.class === one && lane.apart === undefined)
  }))
]

/** What the lanes of a process take. */
export const connections = crewsOf(lanes).length

/** What users wait for is tried again soon: it gives up early on a row that somebody keeps, and moves the others. */
const lockTimeouts: Readonly<Record<LaneClass, Duration.Duration>> = {
  "user-visible": Duration.seconds(1),
  storage: Duration.seconds(5),
  hygiene: Duration.seconds(5)
}

export const budgetOf = (crew: Crew, name: string): ConnectionBudget => ({
  name,
  connections: 1,
  statementTimeout: Duration.seconds(35), // after the lane has given up by itself
  lockTimeout: lockTimeouts[crew.class]
})
