/** The metrics of workers. Labels are the kind, the queue and the outcome: as many as there are in code. */
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import type { Acceptance } from "../domain/Attempt.ts"
import type { AttemptEnd, Claimed } from "../store/Store.ts"

const count = (name: string, description: string) =>
  Metric.counter(`lanekeeper.${name}`, { description, incremental: true })

const claims = count("jobs.claimed", "Jobs claimed, by kind")
const ends = count("jobs.finished", "Attempts whose outcome was written, by kind and outcome")
const refusals = count("outcomes.refused", "Outcomes that came too late, by kind")
const waited = Metric.timer("lanekeeper.jobs.wait", { description: "From enqueue to the first claim" })
const ran = Metric.timer("lanekeeper.jobs.run", { description: "How long attempts ran" })

/** One update for each combination of labels: a batch has few. */
const counted = function* (counter: Metric.Counter<number>, labels: ReadonlyArray<Readonly<Record<string, string>>>) {
  const byLabels = new Map<string, [Readonly<Record<string, string>>, number]>()
  for (const one of labels) {
    const key = Object.values(one).join("\0")
    const entry = byLabels.get(key)
    if (entry === undefined) byLabels.set(key, [one, 1])
    else entry[1]++
  }
  for (const [attributes, n] of byLabels.values()) yield* Metric.update(Metric.withAttributes(counter, attributes), n)
}

export const claimed = Effect.fnUntraced(function* (jobs: ReadonlyArray<Claimed>) {
  yield* counted(
    claims,
    jobs.map(({ kind, queue }) => ({ kind, queue }))
  )
  for (const { attempt, claimedAt, enqueuedAt } of jobs) {
    if (attempt === 1) yield* Metric.update(waited, DateTime.distance(enqueuedAt, claimedAt))
  }
})

export const finished = Effect.fnUntraced(function* (
  outcomes: ReadonlyArray<AttemptEnd & { readonly claimed: Claimed }>,
  answers: ReadonlyArray<Acceptance>
) {
  const accepted = outcomes.filter((_, index) => answers[index] !== "refused")
  yield* counted(
    ends,
    accepted.map(({ claimed: { kind }, ending }) => ({ kind, outcome: ending._tag.toLowerCase() }))
  )
  yield* counted(
    refusals,
    outcomes.filter((_, index) => answers[index] === "refused").map(({ claimed: { kind } }) => ({ kind }))
  )
  for (const outcome of accepted) yield* Metric.update(ran, Duration.fromInputUnsafe(outcome.ran))
})
