/** The metrics of lanes. Labels are lane, class, result and outcome: as many as there are lanes. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import * as Option from "effect/Option"
import type { Overdue } from "../store/Store.ts"
import type { Findings } from "../store/Upkeep.ts"
import type { Lane, Ran } from "./Lane.ts"

const duration = Metric.timer("lanekeeper.lane.duration", { description: "How long a run took" })
const lateness = Metric.timer("lanekeeper.lane.lateness", { description: "How long after its due time a run began" })
const runs = Metric.counter("lanekeeper.lane.runs", { description: "Runs by result", incremental: true })
const rows = Metric.counter("lanekeeper.lane.rows", { description: "Rows by what became of them", incremental: true })
const overruns = Metric.counter("lanekeeper.lane.overruns", {
  description: "Runs that took longer than the interval",
  incremental: true
})
const lag = Metric.gauge("lanekeeper.lane.lag", {
  description: "Milliseconds for which the oldest thing has been waiting that the lane should have moved"
})

const standing = Metric.gauge("lanekeeper.damage", {
  description: "Rows that contradict others and cannot be repaired, as the last whole walk found them"
})

/** By kind; a kind that was found once is told to be gone when it is. */
const seen = new Set<string>()

export const damage = Effect.fnUntraced(function* (findings: Option.Option<Findings>) {
  const found: Readonly<Record<string, number>> = Option.match(findings, {
    onNone: () => ({}),
    onSome: (all) => all.damage
  })
  for (const kind of Object.keys(found)) seen.add(kind)
  for (const kind of seen) yield* Metric.update(Metric.withAttributes(standing, { kind }), found[kind] ?? 0)
})

export const run = Effect.fnUntraced(function* (lane: Lane, ran: Ran) {
  const labels = { lane: lane.name, class: lane.class }
  const of = <Input, State>(metric: Metric.Metric<Input, State>, more: Readonly<Record<string, string>> = {}) =>
    Metric.withAttributes(metric, { ...labels, ...more })
  yield* Metric.update(of(duration), ran.took)
  yield* Metric.update(of(lateness), ran.lateness)
  yield* Metric.update(of(runs, { result: ran.error === null ? "succeeded" : "failed" }), 1)
  if (Duration.isGreaterThan(ran.took, lane.interval)) yield* Metric.update(of(overruns), 1)
  for (const [outcome, count] of Object.entries(ran.rows)) yield* Metric.update(of(rows, { outcome }), count)
})

export const lags = (lanes: ReadonlyArray<Lane>, overdue: Overdue, staleAfter: Duration.Duration) =>
  Effect.forEach(
    lanes,
    (lane) =>
      lane.lag === undefined
        ? Effect.void
        : Metric.update(
            Metric.withAttributes(lag, { lane: lane.name, class: lane.class }),
            Duration.toMillis(lane.lag(overdue, staleAfter))
          ),
    { discard: true }
  )
