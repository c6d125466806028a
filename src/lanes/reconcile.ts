/** Repairs what contradicts itself: bodies that no pointer speaks of, pointers without a body, leases of nobody. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { Store } from "../store/Store.ts"
import { counted, type Lane } from "./Lane.ts"
import * as measure from "./measure.ts"
import { Rescue } from "./Rescue.ts"

const body = Effect.fnUntraced(function* (limit: number) {
  const store = yield* Store
  const { crashBudget } = yield* Rescue
  const { full, queues, repaired, reported } = yield* store.reconcile({ limit, crashBudget })
  const rows = counted(repaired)
  if (Object.keys(rows).length > 0) yield* Effect.logWarning("Repaired what no move leaves behind", rows)
  for (const { id, kind } of reported) {
    yield* Effect.logWarning("Found damage that nobody but you can repair", { kind, job: id })
  }
  if (!full) yield* measure.damage(yield* store.findings)
  return { rows, full, wake: queues }
})

export const reconcile: Lane = {
  name: "reconcile",
  class: "hygiene",
  interval: Duration.minutes(1),
  batch: 256,
  budget: Duration.seconds(2), // a walk over millions of bodies takes some of these; others want the connection, too
  body
}
