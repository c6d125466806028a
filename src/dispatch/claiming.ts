/**
 * Asks the store for as many jobs as there is room for: once at start, when somebody pokes, and when it is time to look.
 * One drive at a time; whatever is said while it drives is one more drive.
 */
import * as Clock from "effect/Clock"
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

const elsewhere = "5 millis" // what others hold they are claiming this moment

export interface ClaimingOptions {
  readonly store: Store["Service"]
  readonly worker: () => WorkerId
  readonly kinds: ReadonlyArray<string>
  readonly rooms: Rooms
  readonly pulse: Pulse
  readonly pollInterval: Duration.Duration
  /** How many claims were begun, and how many have come back. */
  readonly claims: { begun: number; ended: number }
  readonly brink: () => ClaimOptions["brink"]
  /** Too much is under way to take more. */
  readonly isFull: () => boolean
  /** Gives back what is held and has not started for too long. */
  readonly tidy: Effect.Effect<void, SqlError>
}

export const claiming = Effect.fnUntraced(function* (options: ClaimingOptions) {
  const { claims, kinds, pulse, rooms, store } = options

  const claim = Effect.fnUntraced(function* (asks: ReadonlyArray<Ask>) {
    const worker = options.worker()
    rooms.asked(asks)
    claims.begun++
    const { found, jobs } = yield* store
      .claim({ worker, kinds, queues: asks, brink: options.brink() })
      .pipe(Effect.ensuring(Effect.sync(() => claims.ended++)))
    if (options.worker() !== worker) return false // declared dead meanwhile: they are others' now
    rooms.take(asks, jobs, found === "contended", yield* Clock.currentTimeMillis)
    yield* measure.claimed(jobs)
    return found === "contended" && jobs.length === 0
  }, Effect.uninterruptible) // what was claimed arrives, and can be given back

  const drive = Effect.gen(function* () {
    yield* options.tidy
    while (!options.isFull()) {
      const asks = rooms.asks(yield* Clock.currentTimeMillis)
      if (asks.length === 0) return
      if (yield* claim(asks)) yield* Effect.sleep(elsewhere)
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
    const poked = yield* pulse.wait(yield* jittered(options.pollInterval))
    reason = poked ? "poke" : "poll"
    if (!poked) rooms.expect()
  })
  return yield* round.pipe(Effect.catch(failed), Effect.forever)
})
