/** running → ready or dead: what workers held who have been silent under watch for longer than the threshold. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { Store } from "../store/Store.ts"
import { added, type Batch, type Lane, moved, totalOf } from "./Lane.ts"
import { Rescue } from "./Rescue.ts"

const body = Effect.fnUntraced(function* (limit: number) {
  const store = yield* Store
  const { crashBudget, staleAfter } = yield* Rescue
  const stale = yield* store.watch({ staleAfter })
  const [batches, failures] = yield* Effect.partition(stale, ({ beatAge, id, name }) =>
    Effect.gen(function* () {
      // Counted in jobs here and taken in leases there: the worker is done when nothing more comes.
      const batch = moved(yield* store.rescueWorker(id, { limit, crashBudget }), (total) => total > 0)
      if (batch.full) {
        const silent = Duration.format(Duration.millis(Math.round(Duration.toMillis(beatAge))))
        yield* Effect.logInfo("Rescued jobs of a vanished worker", { worker: String(id), name, silent, ...batch.rows })
      }
      return batch
    })
  )
  const batch = together(batches)
  // What one worker left does not keep what another left from moving.
  if (!batch.full && failures.length > 0) return yield* failures[0]!
  return batch
})

const together = (batches: ReadonlyArray<Batch>): Batch => {
  const rows = added(batches.map((batch) => batch.rows))
  return { rows, full: totalOf(rows) > 0, wake: batches.flatMap(({ wake }) => wake ?? []) }
}

export const rescueStale: Lane = {
  name: "rescue-stale",
  class: "user-visible",
  interval: Duration.seconds(5),
  batch: 500, // leases; a fresh one holds the jobs of a whole claim
  budget: Duration.seconds(5),
  body,
  lag: ({ silent }, staleAfter) => Duration.max(Duration.subtract(silent, staleAfter), Duration.zero)
}
