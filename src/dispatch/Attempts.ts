/** The attempts that run in this process: each a fiber that is interrupted for a reason, and then ends by it. */
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as FiberSet from "effect/FiberSet"
import { AttemptLost } from "../Attempt.ts"
import type { Ending } from "../domain/Attempt.ts"
import type { JobId } from "../domain/Job.ts"
import type { Handler } from "../Handlers.ts"
import type { Publish } from "../JobEvents.ts"
import type { Claimed, LeaseId, NewNote, Store, WorkerId } from "../store/Store.ts"
import type { Outcome } from "./Outcomes.ts"
import type { Memory } from "./remembering.ts"
import { type Reach, runAttempt } from "./runAttempt.ts"

interface Running {
  readonly claimed: Claimed
  readonly startedAt: number
  /** The handler has completed the job in its own transaction. */
  completed: boolean
  fiber: Fiber.Fiber<Ending> | undefined
  interrupted: Interruption | undefined
}

/**
 * `released`: the worker gives it back; where somebody wants the job cancelled, the store then cancels it. `lost`: it is
 * no longer this worker's, and there is nothing to say of it.
 */
type Interruption = "released" | "lost"

export interface AttemptsOptions {
  readonly handlers: ReadonlyMap<string, Handler>
  /** The app's own, so that an attempt can be completed in a transaction of its handler. */
  readonly store: Store["Service"]
  readonly worker: () => WorkerId
  readonly around: Reach["around"]
  readonly publish: Publish | undefined
  /** Writes a note before long. */
  readonly note: (note: NewNote) => void
  readonly onEnd: (claimed: Claimed, outcome: Outcome | undefined) => void
}

export const make = Effect.fnUntraced(function* (options: AttemptsOptions) {
  const fibers = yield* FiberSet.make<Ending>()
  const fork = yield* FiberSet.runtime(fibers)<never>()
  const clock = yield* Clock.Clock
  const stopping = yield* Deferred.make<void>()
  const running = new Set<Running>()

  const complete = (one: Running) =>
    Effect.fnUntraced(function* (output: unknown) {
      const { claimed } = one
      const ran = Duration.millis(clock.currentTimeMillisUnsafe() - one.startedAt)
      const end = { id: claimed.id, lease: claimed.lease, attempt: claimed.attempt, ran }
      const ending: Ending = { _tag: "Completed", output }
      const [acceptance] = yield* options.store.finish(options.worker(), [{ ...end, ending }])
      if (acceptance === "refused") return yield* new AttemptLost({ id: claimed.id, attempt: claimed.attempt })
      one.completed = true
    })

  const memoryOf = ({ claimed: { attempt, id, lease } }: Running): Memory => ({
    recall: options.store.recall(id),
    remember: (name, value) => options.store.remember(options.worker(), { id, lease, attempt, name, value }),
    note: (name, value) => options.note({ id, lease, attempt, name, value })
  })

  const end = (one: Running, exit: Exit.Exit<Ending>) => {
    running.delete(one)
    const { claimed } = one
    const released: Ending | undefined = one.interrupted === "lost" ? undefined : { _tag: "Released" }
    const ending = Exit.isSuccess(exit) && one.interrupted !== "lost" ? exit.value : released
    const ran = Duration.millis(clock.currentTimeMillisUnsafe() - one.startedAt)
    options.onEnd(
      claimed,
      ending === undefined
        ? undefined
        : { id: claimed.id, lease: claimed.lease, attempt: claimed.attempt, ran, ending, claimed }
    )
  }

  const start = (claimed: Claimed) => {
    const one: Running = {
      claimed,
      startedAt: clock.currentTimeMillisUnsafe(),
      completed: false,
      fiber: undefined,
      interrupted: undefined
    }
    running.add(one)
    const { attempt, id, kind, queue } = claimed
    const started = options.publish?.([{ _tag: "Started", id, kind, queue, attempt }])
    one.fiber = fork(
      Effect.andThen(
        started ?? Effect.void,
        runAttempt(options.handlers.get(claimed.kind)!, claimed, {
          stopping: Deferred.await(stopping),
          complete: complete(one),
          memory: memoryOf(one),
          around: options.around
        })
      )
    )
    one.fiber.addObserver((exit) => end(one, exit))
  }

  /** Interrupts and does not wait: an attempt ends when its finalizers have run. What is lost stays lost. */
  const interrupt = (why: Interruption, which: (one: Running) => boolean = () => true) => {
    for (const one of running) {
      if (one.interrupted === "lost" || one.interrupted === why || !which(one)) continue
      one.interrupted = why
      one.fiber?.interruptUnsafe()
    }
  }

  return {
    start,
    /** Asks every handler to come to an end. */
    signal: Deferred.succeed(stopping, undefined),
    releaseAll: () => interrupt("released"),
    loseAll: () => interrupt("lost"),
    lose: (leases: ReadonlySet<LeaseId>) =>
      interrupt("lost", ({ claimed, completed }) => !completed && leases.has(claimed.lease)),
    release: (ids: ReadonlyArray<JobId>) => interrupt("released", ({ claimed }) => ids.includes(claimed.id)),
    leases: () => Array.from(running, ({ claimed }) => claimed.lease),
    claimed: () => Array.from(running, ({ claimed }) => claimed),
    size: () => running.size,
    /** Waits until none runs. */
    ended: FiberSet.awaitEmpty(fibers)
  }
})

export type Attempts = Effect.Success<ReturnType<typeof make>>
