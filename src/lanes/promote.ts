/** scheduled → ready: what was enqueued with a time, retries and snoozes, when the time has come. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { Store } from "../store/Store.ts"
import { type Lane, moved } from "./Lane.ts"

const body = Effect.fnUntraced(function* (limit: number) {
  const store = yield* Store
  return moved(yield* store.promote({ limit }), (total) => total === limit)
})

export const promote: Lane = {
  name: "promote",
  class: "user-visible",
  apart: true, // a rescue of ten thousand jobs takes seconds
  interval: Duration.millis(250),
  batch: 1_000, // a statement of some 20 ms: claims hardly notice
  budget: Duration.seconds(1), // then it says what it moved, and goes on at once
  body,
  lag: ({ scheduled }) => scheduled
}
