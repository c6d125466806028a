/**
 * Runs every lane that is due, once, for a caller with no long-lived process. It names no term and asks nobody who
 * leads: row locks alone keep it apart from a leader and from other ticks.
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Settings from "../Settings.ts"
import { Store } from "../store/Store.ts"
import { configure, type LaneOptions } from "./Configured.ts"
import { classes, isItsHour, type Report, runOnce, totalOf } from "./Lane.ts"
import { Rescue } from "./Rescue.ts"

export interface TickOptions extends LaneOptions {
  /** No lane begins after it. Defaults to 30 seconds. */
  readonly budget?: Duration.Input | undefined
  /** Only these lanes, due or not. */
  readonly only?: ReadonlyArray<string> | undefined
}

/** Nobody knows this lane. */
export class UnknownLane extends Schema.TaggedError<UnknownLane>()("UnknownLane", {
  lane: Schema.String,
  lanes: Schema.Array(Schema.String)
}) {
  override get message() {
    return `There is no lane "${this.lane}": there are ${this.lanes.join(", ")}`
  }
}

export interface Tick {
  readonly ran: ReadonlyArray<Report>
  /** They were due, and the budget was spent before their turn. */
  readonly left: ReadonlyArray<string>
}

/** Those that users wait for first. A lane that fails is in the report and keeps none from running. */
export const tick = Effect.fn("tick")(function* (options: TickOptions = {}) {
  const { crashBudget, lanes, staleAfter } = yield* configure(options)
  const known = lanes.map(({ name }) => name)
  const unknown = options.only?.find((name) => !known.includes(name))
  if (unknown !== undefined) return yield* new UnknownLane({ lane: unknown, lanes: known })

  const store = yield* Store
  const budget = Duration.fromInputUnsafe(options.budget ?? Settings.tickBudget.fallback.value)
  const started = yield* Clock.currentTimeMillis
  const last = new Map((yield* store.laneRuns).map((run) => [run.lane, run] as const))
  const isDue = (name: string, interval: Duration.Duration) => {
    const run = last.get(name)
    // A run that is still to come was by a clock that has been set back since.
    return run === undefined || Duration.isNegative(run.age) || Duration.isGreaterThanOrEqualTo(run.age, interval)
  }
  const due = classes
    .flatMap((one) => lanes.filter((lane) => lane.class === one))
    .filter(
      (lane) => options.only?.includes(lane.name) ?? (isItsHour(lane, started) && isDue(lane.name, lane.interval))
    )

  const ran: Array<Report> = []
  const left: Array<string> = []
  for (const lane of due) {
    const spent = Duration.millis((yield* Clock.currentTimeMillis) - started)
    if (Duration.isGreaterThanOrEqualTo(spent, budget)) {
      left.push(lane.name)
      continue
    }
    const report = yield* runOnce({ ...lane, budget: Duration.subtract(budget, spent) }).pipe(
      Effect.provideService(Rescue, { crashBudget, staleAfter })
    )
    const failures = report.error === null ? 0 : (last.get(lane.name)?.failures ?? 0) + 1
    yield* store.recordRuns([
      {
        lane: lane.name,
        age: report.took,
        took: report.took,
        rows: totalOf(report.rows),
        failures,
        error: report.error
      }
    ])
    ran.push(report)
  }
  return { ran, left } satisfies Tick
})
