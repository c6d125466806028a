/** running → ready or dead: attempts past their hard deadline, although their worker is healthy. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { Store } from "../store/Store.ts"
import { type Lane, moved } from "./Lane.ts"
import { Rescue } from "./Rescue.ts"

const body = Effect.fnUntraced(function* (limit: number) {
  const store = yield* Store
  const { crashBudget } = yield* Rescue
  const batch = moved(yield* store.rescueOverdue({ limit, crashBudget }), (total) => total > 0)
  if (batch.full) yield* Effect.logInfo("Rescued attempts past their deadline", batch.rows)
  return batch
})

export const rescueDeadline: Lane = {
  name: "rescue-deadline",
  class: "user-visible",
  interval: Duration.seconds(5),
  batch: 500, // leases
  budget: Duration.seconds(5),
  body,
  lag: ({ deadline }) => deadline
}
