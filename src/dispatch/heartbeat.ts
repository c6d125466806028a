/**
 * Says that this process lives, and compares what the store has for it with what it holds.
 *
 * A worker that was declared dead interrupts everything and goes on under a new identity. Leases it never learned of
 * are given back; attempts whose lease is gone are interrupted. When nothing can be said for so long that others may
 * soon declare it dead, it interrupts its attempts rather than let a job run twice.
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { SqlError } from "effect/sql/SqlError"
import * as Schema from "effect/Schema"
import type { JobId } from "../domain/Job.ts"
import { jittered } from "../jitter.ts"
import { rootMessage } from "../store/postgres/DatabaseError.ts"
import type { LeaseId, Store, WorkerId } from "../store/Store.ts"
import type { Pulse } from "./Pulse.ts"

/** No answer for as long as until the next beat. */
class BeatTimeout extends Schema.TaggedError<BeatTimeout>()("BeatTimeout", {}) {
  override get message() {
    return "the store did not answer"
  }
}

export interface HeartbeatOptions {
  readonly store: Store["Service"]
  readonly worker: () => WorkerId
  readonly every: Duration.Duration
  readonly staleAfter: Duration.Duration
  /** Asks for a beat now. */
  readonly pulse: Pulse
  /** The leases of what runs here, is held, or has an outcome on its way. */
  readonly leases: () => ReadonlySet<LeaseId>
  /** How many claims were begun, and how many have come back. */
  readonly claims: { readonly begun: number; readonly ended: number }
  /** Interrupts jobs that somebody wants cancelled. */
  readonly release: (jobs: ReadonlyArray<JobId>) => void
  /** Interrupts what is no longer this worker's. */
  readonly lose: (leases: ReadonlySet<LeaseId>) => void
  /** Interrupts everything: it may soon be no longer this worker's. */
  readonly unsure: () => void
  /** Takes a new identity: this one was declared dead. */
  readonly rejoin: Effect.Effect<void>
  readonly wake: (queues: Iterable<string>) => Effect.Effect<void>
}

export const heartbeat = Effect.fnUntraced(function* (options: HeartbeatOptions) {
  const { claims, every, staleAfter, store } = options
  const patience = Math.max(Duration.toMillis(staleAfter) - Duration.toMillis(every), Duration.toMillis(every))
  const clock = yield* Clock.Clock
  const now = () => Number(clock.monotonicTimeNanosUnsafe() / 1_000_000n)
  let heardAt = now()
  let unsure = false
  let suspects: ReadonlySet<LeaseId> = new Set()
  let claimsThen = 0

  const beat = Effect.gen(function* () {
    const worker = options.worker()
    const before = options.leases()
    const askedAt = now()
    const { alive, cancelling, leases } = yield* Effect.timeoutOrElse(store.beat(worker), {
      duration: every,
      orElse: () => Effect.fail(new BeatTimeout())
    })
    heardAt = askedAt
    unsure = false
    if (!alive) {
      suspects = new Set()
      yield* Effect.logWarning("This worker was declared dead: it interrupts what it runs and begins anew", { worker })
      return yield* options.rejoin
    }
    options.release(cancelling)

    const held = options.leases()
    const known = new Set(leases)
    options.lose(new Set([...before].filter((lease) => held.has(lease) && !known.has(lease))))

    // What was unknown at the last beat, although every claim begun before it has come back since.
    const unknown = leases.filter((lease) => !held.has(lease))
    const orphans = claims.ended >= claimsThen ? unknown.filter((lease) => suspects.has(lease)) : []
    claimsThen = claims.begun
    suspects = new Set(unknown)
    if (orphans.length > 0) {
      const { queues } = yield* store.release(worker, orphans)
      yield* Effect.logInfo("Gave back jobs whose claim never arrived here", { leases: orphans.length })
      yield* options.wake(queues)
    }
  })

  const missed = Effect.fnUntraced(function* (error: SqlError | BeatTimeout) {
    const reason = error instanceof BeatTimeout ? error.message : rootMessage(error)
    const silence = Duration.format(Duration.millis(now() - heardAt))
    yield* Effect.logWarning("A heartbeat failed", { reason, silence })
  })

  /** Beside the beat: one that hangs takes its time to be given up. */
  const listening = Effect.gen(function* () {
    const left = patience - (now() - heardAt)
    if (left > 0 || unsure) return yield* Effect.sleep(left > 0 ? left : Duration.toMillis(every))
    unsure = true
    yield* Effect.logError("The store has not answered for so long that others may take the jobs: they are interrupted")
    options.unsure()
  })
  yield* Effect.forkScoped(Effect.forever(listening))

  return yield* beat.pipe(
    Effect.catch(missed),
    Effect.andThen(Effect.flatMap(jittered(every), (wait) => options.pulse.wait(wait))),
    Effect.forever
  )
})
