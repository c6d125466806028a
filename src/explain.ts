/** Answers why a job is not running, with what to do about it: from what the store knows, at this moment. */
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { JobId } from "./domain/Job.ts"
import { isAlive, isMaintained, isStopped, lastRun } from "./maintained.ts"
import { JobNotFound } from "./Result.ts"
import * as Settings from "./Settings.ts"
import { type JobView, type LaneRun, Store, type WorkerRow } from "./store/Store.ts"
import { counted, messageOf, rounded } from "./texts.ts"

/** One thing that keeps a job where it is. */
export interface Reason {
  readonly cause: string
  /** What to do about it, where there is something to do. */
  readonly remedy: string | null
  /** It stays so until somebody does something. */
  readonly stuck: boolean
}

export interface Explanation {
  readonly job: JobView
  readonly reasons: ReadonlyArray<Reason>
}

export interface ExplainOptions {
  /** Longer than this a worker may not be silent. Defaults to 30 seconds. */
  readonly staleAfter?: Duration.Input | undefined
}

/** What the answer is made of. Ages are counted by the store's clock. */
interface Seen {
  readonly job: JobView
  readonly paused: ReadonlyArray<string>
  readonly alive: ReadonlyArray<WorkerRow>
  readonly workers: ReadonlyArray<WorkerRow>
  readonly runs: ReadonlyArray<LaneRun>
  readonly staleAfter: Duration.Duration
}

export const explain = Effect.fn("explain")(function* (id: JobId, options: ExplainOptions = {}) {
  const store = yield* Store
  const staleAfter = Duration.fromInputUnsafe(options.staleAfter ?? Settings.staleAfter.fallback.value)
  const job = yield* store.show(id)
  if (Option.isNone(job)) return yield* new JobNotFound({ id })
  const workers = yield* store.workers
  const seen: Seen = {
    job: job.value,
    paused: yield* store.pausedQueues,
    workers,
    alive: workers.filter((row) => isAlive(row, staleAfter)),
    runs: yield* store.laneRuns,
    staleAfter
  }
  return { job: job.value, reasons: reasonsOf(seen) } satisfies Explanation
})

const reasonsOf = (seen: Seen): ReadonlyArray<Reason> => {
  switch (seen.job.place) {
    case "completed":
      return [reason("It is completed: there is nothing left to run")]
    case "cancelled":
      return [reason(`It was cancelled: ${lastReason(seen.job)}`, "enqueue it anew if it is wanted after all")]
    case "dead":
      return [
        reason(`It is dead: ${lastReason(seen.job)}`, `mend the cause, then run lanekeeper dead redrive ${seen.job.id}`)
      ]
    case "running":
      return running(seen)
    case "scheduled":
      return scheduled(seen)
    case "waiting":
      return waiting(seen)
    case "ready":
      return [...ready(seen), ...neverTold(seen)]
  }
}

const reason = (cause: string, remedy: string | null = null): Reason => ({ cause, remedy, stuck: false })

const stuck = (cause: string, remedy: string): Reason => ({ cause, remedy, stuck: true })

const ready = ({ alive, job, paused, workers }: Seen): ReadonlyArray<Reason> => {
  const reasons: Array<Reason> = []
  if (paused.includes(job.queue)) {
    reasons.push(stuck(`Its queue ${job.queue} is paused`, `run lanekeeper queues resume ${job.queue}`))
  }
  const serving = (row: WorkerRow, what: "kinds" | "queues", name: string) =>
    Option.match(row.serves, { onNone: () => true, onSome: (serves) => serves[what].includes(name) })
  if (alive.length === 0) {
    const silent = workers.length === 0 ? "none is registered" : `${workers.length} registered, all of them silent`
    reasons.push(stuck(`No worker is alive: ${silent}`, "start a worker"))
  } else if (!alive.some((row) => serving(row, "queues", job.queue))) {
    const remedy = `add ${job.queue} to the queues of a worker, or run lanekeeper jobs move ${job.id} --queue …`
    reasons.push(stuck(`No live worker serves its queue ${job.queue}`, remedy))
  } else if (!alive.some((row) => serving(row, "kinds", job.kind))) {
    reasons.push(
      stuck(`No live worker has a handler for its kind ${job.kind}`, `deploy a worker with a handler for ${job.kind}`)
    )
  } else if (!alive.some((row) => serving(row, "queues", job.queue) && serving(row, "kinds", job.kind))) {
    reasons.push(
      stuck(
        `The live workers that handle its kind ${job.kind} do not serve its queue ${job.queue}`,
        `add ${job.queue} to the queues of one of them`
      )
    )
  }
  if (reasons.length > 0) return reasons
  return [
    reason(
      `It is ready and ${counted(alive.length, "live worker")} can take it: others of its queue go first, or it is taken this moment`,
      "if it stays so, give the queue more concurrency, start more workers, or raise its priority"
    )
  ]
}

const scheduled = (seen: Seen): ReadonlyArray<Reason> => {
  const { job } = seen
  const when = Option.match(job.due, { onNone: () => "a time", onSome: DateTime.formatIso })
  const last = job.history.at(-1)
  const why =
    last?.state === "failed"
      ? `after attempt ${last.attempt} failed (${messageOf(last.error) ?? "no error was kept"})`
      : last?.state === "snoozed"
        ? `because attempt ${last.attempt} snoozed`
        : "as it was enqueued"
  return [
    reason(`It is scheduled for ${when}, ${why}`, `to run it now, run lanekeeper jobs retry ${job.id}`),
    ...unattended(seen, "promote", "what is due is not made ready")
  ]
}

const waiting = (seen: Seen): ReadonlyArray<Reason> => {
  const until = Option.match(seen.job.due, { onNone: () => "", onSome: (due) => ` until ${DateTime.formatIso(due)}` })
  return [
    reason(
      `It waits for somebody outside to resume it${until}`,
      "have whoever holds its token answer, or wait for its time to run out"
    ),
    ...unattended(seen, "rescue-callback", "waits that are over are not ended")
  ]
}

const running = (seen: Seen): ReadonlyArray<Reason> => {
  const { job, staleAfter, workers } = seen
  const worker = workers.find(({ id }) => Option.contains(job.worker, id))
  if (worker === undefined) return [reason(`It is running, in attempt ${job.attempt}`)]
  if (isAlive(worker, staleAfter)) return [reason(`It is running on ${worker.name}, in attempt ${job.attempt}`)]
  return [
    reason(
      `${worker.name}, which runs it, has been silent for ${rounded(worker.beatAge)}`,
      "nothing: it is rescued when the silence has been watched for LANEKEEPER_STALE_AFTER"
    ),
    ...unattended(seen, "rescue-stale", "nobody rescues it")
  ]
}

/** What keeps a job from being moved on by the lane whose turn it is. */
const unattended = ({ runs }: Seen, lane: string, consequence: string): ReadonlyArray<Reason> => {
  if (!isMaintained(runs)) {
    const since = Option.match(lastRun(runs), {
      onNone: () => "no lane ever ran",
      onSome: (last) => `the last lane ran ${rounded(last)} ago`
    })
    return [stuck(`No maintenance runs (${since}): ${consequence}`, "start a worker or lanekeeper maintenance")]
  }
  const run = runs.find((one) => one.lane === lane)
  if (run === undefined || isStopped(run, Duration.zero)) {
    return [stuck(`The lane ${lane} does not run although others do: ${consequence}`, "run lanekeeper doctor")]
  }
  if (run.failures === 0) return []
  return [stuck(`The lane ${lane} fails (${run.error}): ${consequence}`, "run lanekeeper doctor")]
}

/** A job that failed before says so, whatever keeps it now. */
const neverTold = ({ job }: Seen): ReadonlyArray<Reason> => {
  const last = job.history.at(-1)
  if (last === undefined || last.state !== "rescued") return []
  return [reason(`Attempt ${last.attempt} was rescued: its worker vanished or it ran past its deadline`)]
}

const lastReason = ({ history }: JobView) => {
  const last = history.at(-1)
  return last?.reason ?? messageOf(last?.error) ?? "no reason was given"
}
