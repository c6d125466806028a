/** Does once, at every start and whoever leads, what would otherwise wait for a leader's lanes. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { UnderTerm } from "../store/Store.ts"
import { recovery } from "./index.ts"
import { runOnce } from "./Lane.ts"

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

export const recover = Effect.fn("recover")(
  function* () {
    const recovered: Record<string, Record<string, number>> = {}
    for (const lane of recovery) {
      const rows: Record<string, number> = (recovered[lane.name] = {})
      let drained = false
      while (!drained) {
        const report = yield* runOnce(lane)
        if (report.error !== null) return yield* new RecoveryFailed({ step: lane.name, reason: report.error })
        for (const [outcome, count] of Object.entries(report.rows)) rows[outcome] = (rows[outcome] ?? 0) + count
        ;({ drained } = report)
      }
    }
    return recovered satisfies Recovered
  },
  Effect.provideService(UnderTerm, Option.none())
)
