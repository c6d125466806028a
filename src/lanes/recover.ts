/** Does once, at every start and whoever leads, what would otherwise wait for a leader's lanes. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { rootMessage } from "../store/postgres/DatabaseError.ts"
import { Store, UnderTerm } from "../store/Store.ts"
import { Wakeup } from "../Wakeup.ts"
import { recovery } from "./index.ts"
import { added, type Lane, type Report, runOnce } from "./Lane.ts"
import { reconcile } from "./reconcile.ts"

/** A step of it failed. It can be tried again: what was moved is moved. */
export class RecoveryFailed extends Schema.TaggedError<RecoveryFailed>()("RecoveryFailed", {
  step: Schema.String,
  reason: Schema.String
}) {
  override get message() {
    return `The recovery at start failed in ${this.step} (${this.reason})`
  }
}

/** Rows by what became of them, for each step. */
export type Recovered = Readonly<Record<string, Readonly<Record<string, number>>>>

/** One run: a walk over everything can take long, and the lane goes on with it. A job that runs must not wait for it. */
const glance = Effect.gen(function* () {
  const { error, rows } = yield* runOnce(reconcile)
  if (error !== null) yield* Effect.logWarning("Could not look for damage at start", { reason: error })
  return rows
})

const drain = Effect.fnUntraced(function* (lane: Lane) {
  let rows: Report["rows"] = {}
  while (true) {
    const report = yield* runOnce(lane)
    if (report.error !== null) return yield* new RecoveryFailed({ step: lane.name, reason: report.error })
    rows = added([rows, report.rows])
    if (report.drained) return rows
  }
})

/** Whoever could have woken them for what they hold may be gone. */
const wakeAll = Effect.gen(function* () {
  const store = yield* Store
  const wakeup = yield* Wakeup
  yield* wakeup.poke(yield* store.readyQueues)
}).pipe(Effect.mapError((error) => new RecoveryFailed({ step: "waking queues", reason: rootMessage(error) })))

export const recover = Effect.fn("recover")(
  function* () {
    const recovered: Record<string, Readonly<Record<string, number>>> = {}
    for (const lane of recovery) recovered[lane.name] = yield* lane === reconcile ? glance : drain(lane)
    yield* wakeAll
    return recovered satisfies Recovered
  },
  Effect.provideService(UnderTerm, Option.none())
)
