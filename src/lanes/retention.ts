/** Lets go of what is past its retention and lies in no slot: the dead, and keys of uniqueness and notes whose job is gone. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { Store } from "../store/Store.ts"
import { counted, type Lane } from "./Lane.ts"

const body = Effect.fnUntraced(function* (limit: number) {
  const store = yield* Store
  const { dead, keys, notes } = yield* store.retire({ limit })
  return { rows: counted({ dead, keys, notes }), full: Math.max(dead, keys, notes) === limit }
})

export const retention: Lane = {
  name: "retention",
  class: "hygiene",
  interval: Duration.minutes(1),
  batch: 1_000,
  budget: Duration.seconds(10),
  body
}
