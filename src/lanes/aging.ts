/** Lets a job of the lowest priority start although better ones never end: a level for each minute it has waited. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { Store } from "../store/Store.ts"
import { counted, type Lane } from "./Lane.ts"

const interval = Duration.seconds(10)
const step = Duration.subtract(Duration.minutes(1), interval) // with the wait for the next run it is a minute

const body = Effect.fnUntraced(function* (limit: number) {
  const store = yield* Store
  const lifted = yield* store.lift({ step, limit })
  return { rows: counted({ lifted }), full: lifted === limit }
})

export const aging: Lane = {
  name: "aging",
  class: "hygiene",
  interval,
  batch: 1_000,
  budget: Duration.seconds(2), // it is a luxury beside what else waits for this connection
  body
}
