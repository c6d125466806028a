/** Forgets processes that were declared dead long enough ago for everybody to have seen it. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { Store } from "../store/Store.ts"
import { counted, type Lane } from "./Lane.ts"

const after = Duration.hours(1)

const body = Effect.fnUntraced(function* (limit: number) {
  const store = yield* Store
  const forgotten = yield* store.trimWorkers({ after, limit })
  return { rows: counted({ forgotten }), full: forgotten === limit }
})

export const liveness: Lane = {
  name: "liveness",
  class: "hygiene",
  interval: Duration.minutes(1),
  batch: 1_000,
  budget: Duration.seconds(5),
  body
}
