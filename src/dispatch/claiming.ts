/**
 * Asks the store for as many jobs as there is room for: once at start, when somebody pokes, and when it is time to look.
 * One drive at a time; whatever is said while it drives is one more drive.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { SqlError } from "effect/sql/SqlError"
import { jittered } from "../jitter.ts"
import { rootMessage } from "../store/postgres/DatabaseError.ts"
import type { ClaimOptions, Store, WorkerId } from "../store/Store.ts"
import * as measure from "./measure.ts"
import type { Pulse } from "./Pulse.ts"
import type { Ask } from "./Room.ts"
import type { Rooms } from "./Rooms.ts"

const longestBackoff = 2_000 // milliseconds: a database that is back is noticed within it

const elsewhere = 5 // milliseconds: what others hold they are mostly claiming this moment

export interface ClaimingOptions {
  readonly store: Store["Service"]
  readonly worker: () => WorkerId
  readonly kinds: ReadonlyArray<string>
  readonly rooms: Rooms
  readonly pulse: Pulse
  readonly pollInterval: Duration.Duration
  /** In milliseconds, on a clock that nobody sets. */
  readonly now: () => number
  /** How many claims were begun, and how many have come back. */
  readonly claims: { begun: number; ended: number }
  readonly brink: () => ClaimOptions["brink"]
  /** Too much is under way to take more. */
  readonly isFull: () => boolean
}

export const claiming = Effect.fnUntraced(function* (options: ClaimingOptions) {
  const { claims, kinds, now, pulse, rooms, store } = options

  const claim = Effect.fnUntraced(function* (asks: ReadonlyArray<Ask>) {
    const worker = options.worker()
    rooms.asked(asks, now())
    claims.begun++
    const { found, jobs } = yield* store
      .claim({ worker, kinds, queues: asks, brink: options.brink() })
      .pipe(Effect.ensuring(Effect.sync(() => claims.ended++)))
    if (options.worker() !== worker) return false // declared dead meanwhile: they are others' now
    rooms.take(asks, jobs, found === "contended", now())
    yield* measure.claimed(jobs)
    return found === "contended" && jobs.length === 0
  }, Effect.uninterruptible) // what was claimed arrives, and can be given back

  const drive = Effect.gen(function* () {
    let inVain = 0
    while (!options.isFull()) {
      const asks = rooms.asks(now())
      if (asks.length === 0) return
      inVain = (yield* claim(asks)) ? inVain + 1 : 0
      if (inVain === 0) continue
      // A transaction can also hold a job for as long as it likes.
      yield* pulse.wait(Duration.min(Duration.millis(elsewhere * 2 ** (inVain - 1)), options.pollInterval))
      for (const { queue } of asks) rooms.expect(queue)
    }
  })

  let reason: "start" | "poke" | "poll" = "start"
  let failures = 0
  const failed = Effect.fnUntraced(function* (error: SqlError) {
    failures++
    yield* Effect.logWarning("Could not claim and will try again", { on: reason, reason: rootMessage(error), failures })
    rooms.expect()
    yield* Effect.sleep(yield* jittered(Duration.millis(Math.min(50 * 2 ** Math.min(failures, 10), longestBackoff))))
  })
  const round = Effect.gen(function* () {
    yield* drive
    failures = 0
    // Whatever is said of one queue, the others are looked into as often.
    const interval = Duration.toMillis(yield* jittered(options.pollInterval))
    const poked = yield* pulse.wait(Duration.millis(Math.max(0, interval - rooms.unseen(now()))))
    reason = poked ? "poke" : "poll"
    rooms.expectIn(interval, now())
  })
  return yield* round.pipe(Effect.catch(failed), Effect.forever)
})
