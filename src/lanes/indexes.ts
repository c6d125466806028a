/** Rebuilds indexes that are invalid or mostly air, in the hour of the day when it hurts least. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { Store } from "../store/Store.ts"
import { counted, type Lane } from "./Lane.ts"

const body = Effect.fnUntraced(function* () {
  const store = yield* Store
  const mended = yield* store.mendIndex
  for (const { index, outcome, reason } of mended) {
    if (outcome === "left") yield* Effect.logWarning("An index wants to be rebuilt by its owner", { index, reason })
    else yield* Effect.logInfo("Mended an index", { index, outcome })
  }
  const count = (outcome: string) => mended.filter((one) => one.outcome === outcome).length
  return {
    rows: counted({ rebuilt: count("rebuilt"), dropped: count("dropped") }),
    full: mended.some(({ outcome }) => outcome !== "left")
  }
})

export const indexes: Lane = {
  name: "indexes",
  class: "hygiene",
  interval: Duration.minutes(20),
  quietHour: 3,
  batch: 1, // others wait for this connection while an index is built
  budget: Duration.minutes(1),
  body
}
