import * as Command from "effect/cli/Command"
import * as Console from "effect/Console"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { QueueStats, Stats } from "../../store/Upkeep.ts"
import { millis, rounded, roughly } from "../../texts.ts"
import { jsonFlag, schemaFlag } from "../flags.ts"
import type { Queue, Queues } from "../shapes.ts"
import { withStore } from "../store.ts"
import { table } from "../table.ts"

export const list = Command.make(
  "list",
  { schema: schemaFlag, json: jsonFlag },
  Effect.fn(function* (flags) {
    const { Store } = yield* Effect.promise(() => import("../../store/Store.ts"))
    const reading = Effect.flatMap(Store, (store) => Effect.all([store.stats, store.pausedQueues]))
    const [stats, paused] = yield* withStore("queues", flags, reading)
    const told = queues(Option.getOrUndefined(stats), paused)
    if (flags.json) return yield* Console.log(JSON.stringify(told))
    if (told.queues.length > 0) yield* Console.log(table(told.queues.map(rowOf)))
    yield* Console.log(
      told.counted === null
        ? "Jobs have not been counted yet: start maintenance, or run lanekeeper tick --lane stats"
        : `${told.queues.length === 0 ? "There is no job in any queue. " : "\n"}Counted ${rounded(Duration.millis(told.counted))} ago`
    )
  })
).pipe(Command.withDescription("List queues with their depth, as the leader counted it last"))

const none: QueueStats["depth"] = { scheduled: 0, ready: 0, running: 0, waiting: 0, dead: 0 }

const queues = (stats: Stats | undefined, paused: ReadonlyArray<string>): typeof Queues.Type => {
  const over = stats === undefined ? Option.none() : Option.map(stats.over, Duration.toSeconds)
  const perSecond = (count: number) =>
    Option.getOrNull(Option.map(over, (seconds) => (seconds > 0 ? count / seconds : 0)))
  const counted = (stats?.queues ?? []).map(({ depth, enqueued, finished, oldest, queue }) => ({
    queue,
    paused: paused.includes(queue),
    ...depth,
    oldest: Option.getOrNull(Option.map(oldest, millis)),
    enqueuedPerSecond: perSecond(enqueued),
    finishedPerSecond: perSecond(finished)
  }))
  const empty = paused
    .filter((queue) => !counted.some((one) => one.queue === queue))
    .map((queue) => ({ queue, paused: true, ...none, oldest: null, enqueuedPerSecond: null, finishedPerSecond: null }))
  return { counted: stats === undefined ? null : millis(stats.age), queues: [...counted, ...empty] }
}

const rate = (perSecond: number | null) => (perSecond === null ? "" : perSecond.toFixed(1))

const rowOf = (queue: typeof Queue.Type) => ({
  queue: queue.queue,
  state: queue.paused ? "paused" : "open",
  ready: `${queue.ready}`,
  running: `${queue.running}`,
  scheduled: `${queue.scheduled}`,
  waiting: `${queue.waiting}`,
  dead: `${queue.dead}`,
  "oldest ready": queue.oldest === null ? "" : roughly(Duration.millis(queue.oldest)),
  "in/s": rate(queue.enqueuedPerSecond),
  "out/s": rate(queue.finishedPerSecond)
})
