/**
 * Writes what came of attempts: all that ended while the last statement was on its way go with the next. An outcome
 * that cannot be written is kept and tried again; the fence makes writing it twice harmless. A lease that somebody's open
 * transaction keeps, by a cancel or a replacement in it, makes the outcomes of its jobs wait, and no others.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import * as Schedule from "effect/Schedule"
import type { SqlError } from "effect/sql/SqlError"
import type { Ending } from "../domain/Attempt.ts"
import type { Publish } from "../JobEvents.ts"
import { isBadRow, isBusy } from "../store/postgres/apart.ts"
import { rootMessage } from "../store/postgres/DatabaseError.ts"
import type { AttemptEnd, Claimed, LeaseId, Store, WorkerId } from "../store/Store.ts"
import * as measure from "./measure.ts"

export interface Outcome extends AttemptEnd {
  readonly claimed: Claimed
}

const batch = 1_000 // one statement stays under ~30 ms

const much = 250 // a second statement beside the first then costs less than waiting for it

const again = Schedule.min([Schedule.exponential("50 millis", 2), Schedule.spaced("2 seconds")])

/** Ends whose jobs a peer can take at once. */
const isReady = (ending: Ending) =>
  ending._tag === "Released" || (ending._tag === "Failed" && !Duration.isPositive(ending.retryIn))

export interface OutcomesOptions {
  readonly store: Store["Service"]
  readonly worker: () => WorkerId
  readonly wake: (queues: Iterable<string>) => Effect.Effect<void>
  /** What must be written before an attempt ends. */
  readonly before: Effect.Effect<void>
  readonly publish: Publish | undefined
  /** Fewer wait to be written than before. */
  readonly onWritten: () => void
}

export class Outcomes {
  private pending: Array<Outcome> = []
  /** Those that are being written. */
  private readonly sent = new Set<ReadonlyArray<Outcome>>()
  /** Leases that somebody keeps, with what waits for them. */
  private readonly kept = new Map<LeaseId, ReadonlyArray<Outcome>>()
  private readonly someKept = Latch.makeUnsafe(false)
  private writers = 0
  /** Grows when what is pending is dropped: what was being written then is not to be tried again. */
  private drops = 0
  private readonly some = Latch.makeUnsafe(false)
  private readonly none = Latch.makeUnsafe(true)
  private readonly options: OutcomesOptions

  constructor(options: OutcomesOptions) {
    this.options = options
  }

  add(outcome: Outcome): void {
    this.pending.push(outcome)
    this.none.closeUnsafe()
    this.tell()
  }

  get size(): number {
    return [...this.sent, ...this.kept.values()].reduce((sum, { length }) => sum + length, this.pending.length)
  }

  get leases(): Iterable<LeaseId> {
    return [...this.sent, ...this.kept.values(), this.pending].flatMap((outcomes) => outcomes.map(({ lease }) => lease))
  }

  /** Nothing of this is this worker's to say any more. */
  drop(): void {
    this.pending = []
    this.sent.clear()
    this.kept.clear()
    this.drops++
    this.none.openUnsafe()
  }

  /** Waits until all that was added is written, or dropped. */
  get written(): Effect.Effect<void> {
    return this.none.await
  }

  /** Writes for as long as it runs. Two at a time, if there is enough for both. */
  get writing(): Effect.Effect<void> {
    const one = Effect.suspend(() => {
      this.some.closeUnsafe()
      return this.isWorthWriting ? this.write() : this.some.await
    })
    const all = [Effect.forever(one), Effect.forever(one), Effect.forever(this.writeKept)]
    return Effect.all(all, { concurrency: "unbounded", discard: true })
  }

  /** What ends while others are being written goes with the next, unless that is much. */
  private get isWorthWriting(): boolean {
    return this.pending.length >= (this.writers === 0 ? 1 : much)
  }

  private tell(): void {
    if (this.isWorthWriting) this.some.openUnsafe()
  }

  private readonly write = Effect.fnUntraced(function* (this: Outcomes) {
    const outcomes = this.pending.slice(0, batch)
    this.pending = this.pending.slice(batch)
    this.writers++
    yield* this.send(this.kept.size === 0 ? outcomes : this.withoutKept(outcomes))
    this.writers--
    this.tell()
  })

  private readonly send = Effect.fnUntraced(function* (this: Outcomes, outcomes: ReadonlyArray<Outcome>) {
    if (outcomes.length === 0) return
    this.sent.add(outcomes)
    yield* this.finish(outcomes)
    this.sent.delete(outcomes)
    if (this.size === 0) this.none.openUnsafe()
    this.options.onWritten()
  })

  private isKept({ lease }: Outcome): boolean {
    return this.kept.has(lease)
  }

  private withoutKept(outcomes: ReadonlyArray<Outcome>): ReadonlyArray<Outcome> {
    this.keep(outcomes.filter((one) => this.isKept(one)))
    return outcomes.filter((one) => !this.isKept(one))
  }

  private keep(outcomes: ReadonlyArray<Outcome>): void {
    for (const one of outcomes) this.kept.set(one.lease, [...(this.kept.get(one.lease) ?? []), one])
    if (outcomes.length > 0) this.someKept.openUnsafe()
  }

  /** One lease after another, so that one connection waits at most. */
  private readonly writeKept = Effect.suspend(() =>
    Effect.gen({ self: this }, function* () {
      yield* this.someKept.await
      for (const [lease, outcomes] of this.kept) {
        this.kept.set(lease, []) // what comes meanwhile waits here, too
        yield* this.send(outcomes)
        if (this.kept.get(lease)?.length === 0) this.kept.delete(lease)
      }
      if (this.kept.size === 0) return this.someKept.closeUnsafe()
      yield* Effect.sleep("1 second")
    })
  )

  private readonly finish: (outcomes: ReadonlyArray<Outcome>) => Effect.Effect<void> = Effect.fnUntraced(function* (
    this: Outcomes,
    outcomes: ReadonlyArray<Outcome>
  ) {
    const { before, publish, store, wake, worker } = this.options
    const { drops } = this
    let told = false
    const answers = yield* Effect.andThen(
      before,
      Effect.suspend(() => store.finish(worker(), outcomes))
    ).pipe(
      Effect.tapError((error) => {
        if (told || isBadRow(error) || (isBusy(error) && outcomes.every((one) => this.isKept(one)))) return Effect.void
        told = true
        return Effect.logWarning("Outcomes could not be written and are kept", {
          outcomes: this.pending.length,
          reason: rootMessage(error)
        })
      }),
      Effect.retry({ schedule: again, while: (error) => !isBadRow(error) && !isBusy(error) && drops === this.drops }),
      Effect.catch((error) =>
        isBusy(error)
          ? Effect.sync(() => void (drops === this.drops && this.keep(outcomes)))
          : Effect.as(this.apart(outcomes, error), undefined)
      )
    )
    if (answers === undefined) return
    const refused = outcomes.filter((_, index) => answers[index] === "refused")
    const accepted = refused.length === 0 ? outcomes : outcomes.filter((_, index) => answers[index] !== "refused")
    yield* measure.finished(accepted, refused)
    for (const { attempt, ending, claimed } of refused) {
      yield* Effect.logWarning("An outcome came too late and was refused: the attempt had ended otherwise", {
        job: claimed.id,
        kind: claimed.kind,
        attempt,
        outcome: ending._tag
      })
    }
    const ready = new Set(outcomes.filter(({ ending }) => isReady(ending)).map(({ claimed }) => claimed.queue))
    if (ready.size > 0) yield* wake(ready)
    if (publish === undefined) return
    yield* publish(
      accepted.map(({ attempt, claimed: { id, kind, queue }, ending, ran }) => ({
        _tag: "Ended",
        id,
        kind,
        queue,
        attempt,
        ending,
        ran
      }))
    )
  })

  /** One outcome that PostgreSQL will not have must not keep the others, nor be lost. */
  private readonly apart = Effect.fnUntraced(function* (
    this: Outcomes,
    outcomes: ReadonlyArray<Outcome>,
    error: SqlError
  ) {
    if (!isBadRow(error)) return // dropped
    const [only] = outcomes
    if (outcomes.length > 1) return yield* Effect.forEach(outcomes, (one) => this.finish([one]), { discard: true })
    if (only!.ending._tag === "Died") return yield* Effect.logError("An outcome could not be stored", error)
    const reason = `its outcome could not be stored: ${rootMessage(error)}`
    yield* Effect.logError("An outcome could not be stored, and its job is dead", { job: only!.id, reason })
    yield* this.finish([{ ...only!, ending: { _tag: "Died", reason } }])
  })
}
