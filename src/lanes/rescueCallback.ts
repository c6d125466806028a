/** waiting → ready, dead or cancelled: waits that nobody ended in time, by the policy each was parked with. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { Store } from "../store/Store.ts"
import { type Lane, moved } from "./Lane.ts"

const body = Effect.fnUntraced(function* (limit: number) {
  const store = yield* Store
  return moved(yield* store.expireWaits({ limit }), (total) => total === limit)
})

export const rescueCallback: Lane = {
  name: "rescue-callback",
  class: "user-visible",
  interval: Duration.seconds(5),
  batch: 500,
  budget: Duration.seconds(5),
  body,
  lag: ({ waiting }) => waiting
}
