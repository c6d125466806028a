/** Counts jobs by queue and place, and keeps the figures for readers: nobody else counts. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { Store } from "../store/Store.ts"
import type { Lane } from "./Lane.ts"

const body = Effect.fnUntraced(function* () {
  const store = yield* Store
  yield* store.takeStats
  return { rows: {}, full: false }
})

export const stats: Lane = {
  name: "stats",
  class: "hygiene",
  interval: Duration.seconds(15),
  batch: 1, // all of it is one pass
  budget: Duration.seconds(10),
  body
}
