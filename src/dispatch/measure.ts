/** The metrics of workers. Labels are the kind, the queue and the outcome: as many as there are in code. */
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import { Tally } from "../Tally.ts"
import type { AttemptEnd, Claimed } from "../store/Store.ts"

const tally = (name: string, description: string, ...labels: ReadonlyArray<string>) =>
  new Tally(Metric.counter(`lanekeeper.${name}`, { description, incremental: true }), labels)

const claims = tally("jobs.claimed", "Jobs claimed, by kind", "kind", "queue")
const ends = tally("jobs.finished", "Attempts whose outcome was written, by kind and outcome", "kind", "outcome")
const refusals = tally("outcomes.refused", "Outcomes that came too late, by kind", "kind")
const waited = Metric.timer("lanekeeper.jobs.wait", { description: "From enqueue to the first claim" })
const ran = Metric.timer("lanekeeper.jobs.run", { description: "How long attempts ran" })

const timed = <One>(
  timer: Metric.Metric<Duration.Duration, unknown>,
  all: ReadonlyArray<One>,
  time: (one: One) => Duration.Duration
) => Effect.map(Effect.context<never>(), (context) => all.forEach((one) => timer.updateUnsafe(time(one), context)))

export const claimed = Effect.fnUntraced(function* (jobs: ReadonlyArray<Claimed>) {
  yield* claims.count(jobs, ({ kind, queue }) => [kind, queue])
  yield* timed(
    waited,
    jobs.filter(({ attempt }) => attempt === 1),
    ({ claimedAt, enqueuedAt }) => Duration.millis(DateTime.toEpochMillis(claimedAt) - enqueuedAt)
  )
})

type Ended = AttemptEnd & { readonly claimed: Claimed }

export const finished = Effect.fnUntraced(function* (accepted: ReadonlyArray<Ended>, refused: ReadonlyArray<Ended>) {
  yield* ends.count(accepted, ({ claimed: { kind }, ending }) => [kind, ending._tag.toLowerCase()])
  yield* timed(ran, accepted, (one) => one.ran)
  yield* refusals.count(refused, ({ claimed: { kind } }) => [kind])
})
