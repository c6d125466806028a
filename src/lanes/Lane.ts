/**
 * A lane is a value: one maintenance duty, with its class, how often it runs and a body that does one batch.
 *
 * `runOnce` is one run, for whoever drives: it takes batches until one is short or the budget is spent. `loop` is what
 * maintenance does with it: runs it again and again, apart from every other lane, whatever becomes of a run.
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Latch from "effect/Latch"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import type { SqlError } from "effect/sql/SqlError"
import { jittered } from "../jitter.ts"
import { rootMessage } from "../store/postgres/DatabaseError.ts"
import type { Moved, Overdue, Store } from "../store/Store.ts"
import { Wakeup } from "../Wakeup.ts"
import * as measure from "./measure.ts"
import * as Punctuality from "./Punctuality.ts"

/** No class can delay the one before it. */
export const classes = ["user-visible", "storage", "hygiene"] as const

export type LaneClass = (typeof classes)[number]

export interface Batch {
  /** Rows by what became of them. */
  readonly rows: Readonly<Record<string, number>>
  /** There may be more. */
  readonly full: boolean
  /** Queues that have new work. */
  readonly wake?: ReadonlyArray<string> | undefined
}

export interface Lane {
  readonly name: string
  readonly class: LaneClass
  /** It has a connection for itself: not even the others of its class can keep it waiting. */
  readonly apart?: true | undefined
  /** From the start of one run to the start of the next, give or take a tenth. */
  readonly interval: Duration.Duration
  /** It runs in this hour of the day alone, by UTC. */
  readonly quietHour?: number | undefined
  /** How many rows one batch takes. */
  readonly batch: number
  /** A run that has taken longer begins no further batch. */
  readonly budget: Duration.Duration
  readonly body: (batch: number) => Effect.Effect<Batch, SqlError | SuppliedFailed, Store>
  /** How long the oldest thing has been waiting that this lane should have moved. */
  readonly lag?: ((overdue: Overdue, staleAfter: Duration.Duration) => Duration.Duration) | undefined
}

/** What one run did. */
export interface Report {
  readonly lane: string
  readonly rows: Readonly<Record<string, number>>
  readonly batches: number
  readonly took: Duration.Duration
  /** `false`: the budget was spent before a batch was short. */
  readonly drained: boolean
  /** Why it ended early. What its batches moved before is moved. */
  readonly error: string | null
}

/** What the application gave the lane to run. */
export class SuppliedFailed extends Schema.TaggedError<SuppliedFailed>()("SuppliedFailed", {
  what: Schema.String,
  reason: Schema.String
}) {
  override get message() {
    return `${this.what} failed: ${this.reason}`
  }
}

/** A body that does not come back. */
export class LaneHung extends Schema.TaggedError<LaneHung>()("LaneHung", { lane: Schema.String }) {
  override get message() {
    return `The lane ${this.lane} did not finish a batch in ${Duration.format(hang)} and was interrupted`
  }
}

export const hang = Duration.seconds(30) // the server ends a statement of its own accord shortly before

const longestBackoff = Duration.seconds(30)

/** Rows by outcome, without those that did not come about. */
export const counted = (rows: Readonly<Record<string, number>>): Batch["rows"] =>
  Object.fromEntries(Object.entries(rows).filter(([, count]) => count > 0))

/** All of it together, outcome by outcome. */
export const added = (all: ReadonlyArray<Batch["rows"]>): Batch["rows"] => {
  const sum: Record<string, number> = {}
  for (const rows of all)
    for (const [outcome, count] of Object.entries(rows)) sum[outcome] = (sum[outcome] ?? 0) + count
  return sum
}

/** What a move of many jobs reports. */
export const moved = ({ cancelled, dead, queues, ready, scheduled }: Moved, isFull: (total: number) => boolean) => {
  const rows = counted({ ready, scheduled, dead, cancelled })
  return { rows, full: isFull(totalOf(rows)), wake: queues } satisfies Batch
}

export const totalOf = (rows: Readonly<Record<string, number>>): number =>
  Object.values(rows).reduce((sum, count) => sum + count, 0)

/** One run. It never fails: what went wrong is in the report. Queues are woken once. */
export const runOnce = Effect.fn("Lane.runOnce")(function* (lane: Lane, stopping?: Deferred.Deferred<void>) {
  const wakeup = yield* Wakeup
  const started = yield* Clock.currentTimeMillis
  const elapsed = Effect.map(Clock.currentTimeMillis, (now) => Duration.millis(now - started))
  const batches: Array<Batch> = []
  const wake = Effect.suspend(() => {
    const queues = new Set(batches.flatMap((batch) => batch.wake ?? []))
    return queues.size === 0 ? Effect.void : wakeup.poke(queues)
  })
  const goesOn = ({ full }: Batch) =>
    !full || (stopping !== undefined && Deferred.isDoneUnsafe(stopping))
      ? Effect.succeed(false)
      : Effect.map(elapsed, (time) => Duration.isLessThan(time, lane.budget))

  const exit = yield* Effect.suspend(() => lane.body(lane.batch)).pipe(
    Effect.timeoutOrElse({ duration: hang, orElse: () => Effect.fail(new LaneHung({ lane: lane.name })) }),
    Effect.tap((batch) => Effect.sync(() => batches.push(batch))),
    Effect.repeat({ while: goesOn }),
    Effect.ensuring(wake),
    Effect.exit
  )
  if (Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause)) return yield* Effect.interrupt
  return {
    lane: lane.name,
    rows: added(batches.map(({ rows }) => rows)),
    batches: batches.length,
    took: yield* elapsed,
    drained: Exit.isSuccess(exit) && !exit.value.full,
    error: Exit.isSuccess(exit) ? null : reasonOf(exit.cause)
  } satisfies Report
})

const reasonOf = (cause: Cause.Cause<SqlError | SuppliedFailed | LaneHung>): string => {
  const error = Cause.squash(cause)
  if (error instanceof LaneHung || error instanceof SuppliedFailed) return error.message
  if (typeof error === "object" && error !== null && "_tag" in error && error._tag === "SqlError") {
    return rootMessage(error as SqlError)
  }
  return error instanceof Error ? `${error.name}: ${error.message}` : String(error)
}

export interface LoopOptions {
  /** When it is done the lane finishes the batch it is in and ends. */
  readonly stopping: Deferred.Deferred<void>
  readonly onRun: (run: Ran) => Effect.Effect<void>
}

export interface Ran extends Report {
  /** How long ago it was due when it began. */
  readonly lateness: Duration.Duration
  /** In a row. */
  readonly failures: number
}

/**
 * Runs a lane on its own timer until it is told to stop or interrupted. It never overlaps itself, and what it missed
 * while it ran is one run, not many.
 */
export const loop = Effect.fnUntraced(function* (lane: Lane, { onRun, stopping }: LoopOptions) {
  const idle = yield* Latch.make(true)
  let due: number | undefined
  let failures = 0
  let punctuality = Punctuality.start

  /** Answers with how long to wait for the next run. */
  const run = Effect.gen(function* () {
    const started = yield* Clock.currentTimeMillis
    if (!isItsHour(lane, started)) return yield* jittered(lane.interval)
    const lateness = Duration.millis(Math.max(0, started - (due ?? started)))
    due = started + Duration.toMillis(lane.interval)
    const report = yield* runOnce(lane, stopping)
    failures = report.error === null ? 0 : failures + 1
    yield* tell(lane, report, failures)

    const change = Punctuality.judge(punctuality, lane.interval, Duration.max(lateness, report.took))
    punctuality = change.next
    if (change.turned === "delayed") {
      yield* Effect.logWarning("A lane is delayed", { lane: lane.name, behind: Duration.format(change.sample) })
    } else if (change.turned === "on time") yield* Effect.logInfo("A lane is on time again", { lane: lane.name })

    const ran: Ran = { ...report, lateness, failures }
    yield* measure.run(lane, ran)
    yield* onRun(ran)
    return yield* pause(lane, ran)
  }).pipe((effect) => Effect.ensuring(Effect.andThen(idle.close, effect), idle.open))

  // The first run of a term: what users wait for at once, the rest in its own time.
  if (lane.class === "hygiene") {
    const first = Effect.flatMap(jittered(lane.interval), Effect.sleep)
    yield* Effect.raceFirst(first, Deferred.await(stopping))
  }
  yield* run.pipe(
    Effect.repeat(
      Schedule.forever.pipe(
        Schedule.setInputType<Duration.Duration>(),
        Schedule.addDelay(({ input }) => Effect.succeed(input))
      )
    ),
    Effect.raceFirst(Effect.andThen(Deferred.await(stopping), idle.await))
  )
})

export const isItsHour = ({ quietHour }: Lane, millis: number): boolean =>
  quietHour === undefined || new Date(millis).getUTCHours() === quietHour

const pause = (lane: Lane, { drained, error, failures, took }: Ran): Effect.Effect<Duration.Duration> => {
  if (error !== null) {
    const backoff = Duration.min(Duration.times(lane.interval, 2 ** Math.min(failures, 10)), longestBackoff)
    return jittered(Duration.max(backoff, lane.interval))
  }
  const overran = Duration.isGreaterThan(took, lane.interval)
  if (lane.class === "hygiene" && (overran || !drained)) return jittered(lane.interval) // it cools down
  if (!drained) return Effect.succeed(Duration.zero)
  return Effect.map(jittered(lane.interval), (interval) =>
    Duration.max(Duration.subtract(interval, took), Duration.zero)
  )
}

const tell = (lane: Lane, { error, rows }: Report, failures: number) => {
  if (error !== null) {
    return Effect.logWarning("A lane failed and will try again", { lane: lane.name, reason: error, failures })
  }
  return totalOf(rows) === 0 ? Effect.void : Effect.logDebug("A lane moved jobs", { lane: lane.name, ...rows })
}
