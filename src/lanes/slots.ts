/** Empties slots and shelves that hold nothing to keep, moves on what lingers in them, and clears the attic. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { Store } from "../store/Store.ts"
import { counted, type Lane } from "./Lane.ts"

const body = Effect.fnUntraced(function* (limit: number) {
  const store = yield* Store
  const { full, ...rows } = yield* store.reclaim({ limit })
  return { rows: counted(rows), full }
})

export const slots: Lane = {
  name: "slots",
  class: "storage",
  interval: Duration.seconds(1),
  batch: 1_000, // jobs that are moved on in one statement; what is emptied whole has no number
  budget: Duration.seconds(5),
  body
}
