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
const counted = <One>(
  counter: Metric.Counter<number>,
  all: ReadonlyArray<One>,
  keyOf: (one: One) => string,
  labelsOf: (one: One) => Readonly<Record<string, string>>
) =>
  Effect.suspend(() => {
    const byLabels = new Map<string, { readonly one: One; count: number }>()
    for (const one of all) {
      const key = keyOf(one)
      const entry = byLabels.get(key)
      if (entry === undefined) byLabels.set(key, { one, count: 1 })
      else entry.count++
    }
    return Effect.forEach(
      byLabels.values(),
      ({ count, one }) => Metric.update(Metric.withAttributes(counter, labelsOf(one)), count),
      { discard: true }
    )
  })

const timed = <One>(
  timer: Metric.Metric<Duration.Duration, unknown>,
  all: ReadonlyArray<One>,
  time: (one: One) => Duration.Duration
) => Effect.map(Effect.context<never>(), (context) => all.forEach((one) => timer.updateUnsafe(time(one), context)))

export const claimed = Effect.fnUntraced(function* (jobs: ReadonlyArray<Claimed>) {
  yield* counted(
    claims,
    jobs,
    ({ kind, queue }) => `${kind}\0${queue}`,
    ({ kind, queue }) => ({ kind, queue })
  )
  yield* timed(
    waited,
    jobs.filter(({ attempt }) => attempt === 1),
    ({ claimedAt, enqueuedAt }) => DateTime.distance(enqueuedAt, claimedAt)
  )
})

type Ended = AttemptEnd & { readonly claimed: Claimed }

export const finished = Effect.fnUntraced(function* (
  outcomes: ReadonlyArray<Ended>,
  answers: ReadonlyArray<Acceptance>
) {
  const accepted = outcomes.filter((_, index) => answers[index] !== "refused")
  yield* counted(
    ends,
    accepted,
    ({ claimed: { kind }, ending }) => `${kind}\0${ending._tag}`,
    ({ claimed: { kind }, ending }) => ({ kind, outcome: ending._tag.toLowerCase() })
  )
  yield* timed(ran, accepted, (one) => one.ran)
  if (accepted.length === outcomes.length) return
  yield* counted(
    refusals,
    outcomes.filter((_, index) => answers[index] === "refused"),
    ({ claimed: { kind } }) => kind,
    ({ claimed: { kind } }) => ({ kind })
  )
})
