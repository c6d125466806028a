/** The attempts that run in this process: each a fiber that is interrupted for a reason, and then ends by it. */
import * as Cause from "effect/Cause"
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
import type { AttemptEnd, Claimed, LeaseId, NewNote, Store, WorkerId } from "../store/Store.ts"
import type { Outcome } from "./Outcomes.ts"
import type { Memory } from "./remembering.ts"
import { endingOf, type Reach, runAttempt } from "./runAttempt.ts"

interface Running {
  readonly claimed: Claimed
  /** On a clock that nobody sets. */
  readonly startedAt: bigint
  /** The handler has completed the job in its own transaction, and that has committed. */
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

  const endOf = ({ claimed, startedAt }: Running, ending: Ending): AttemptEnd => {
    const { attempt, id, kind, lease, queue } = claimed
    const ran = Duration.nanos(clock.monotonicTimeNanosUnsafe() - startedAt)
    const tell = options.handlers.get(kind)!.kind.events ? { kind, queue } : undefined
    return { id, lease, attempt, ran, ending, tell }
  }

  const complete = (one: Running) =>
    Effect.fnUntraced(function* (output: unknown) {
      const { attempt, id } = one.claimed
      const [acceptance] = yield* options.store.finish(options.worker(), [endOf(one, { _tag: "Completed", output })])
      if (acceptance === "refused") return yield* new AttemptLost({ id, attempt })
      yield* options.store.afterCommit(Effect.sync(() => void (one.completed = true)))
    })

  const memoryOf = ({ claimed: { attempt, id, lease } }: Running): Memory => ({
    recall: options.store.recall(id),
    remember: (name, value) => options.store.remember(options.worker(), { id, lease, attempt, name, value }),
    note: (name, value) => options.note({ id, lease, attempt, name, value })
  })

  /** What is to be said of an attempt whose fiber has ended. */
  const endingIn = ({ completed, interrupted }: Running, exit: Exit.Exit<Ending>): Ending | undefined => {
    if (interrupted === "lost") return undefined
    if (completed) return { _tag: "Completed" } // whatever happened after that: told again, it changes nothing
    return Exit.isSuccess(exit) ? exit.value : { _tag: "Released" }
  }

  const end = (one: Running, exit: Exit.Exit<Ending>) => {
    running.delete(one)
    const ending = endingIn(one, exit)
    options.onEnd(one.claimed, ending === undefined ? undefined : { ...endOf(one, ending), claimed: one.claimed })
  }

  const run = (one: Running, effect: Effect.Effect<Ending>, onExit: (exit: Exit.Exit<Ending>) => void) => {
    one.fiber = fork(effect)
    one.fiber.addObserver(onExit)
  }

  const start = (claimed: Claimed) => {
    const handler = options.handlers.get(claimed.kind)!
    const one: Running = {
      claimed,
      startedAt: clock.monotonicTimeNanosUnsafe(),
      completed: false,
      fiber: undefined,
      interrupted: undefined
    }
    running.add(one)
    const { attempt, id, kind, queue } = claimed
    const started = options.publish?.([{ _tag: "Started", id, kind, queue, attempt }])
    const reach: Reach = {
      stopping: Deferred.await(stopping),
      complete: complete(one),
      memory: memoryOf(one),
      around: options.around
    }
    run(
      one,
      Effect.andThen(
        started ?? Effect.void,
        Effect.suspend(() => runAttempt(handler, claimed, reach))
      ),
      (exit) => {
        // A fiber that dies although everything in it is caught: what ran in it was no Effect, or a kind's own code threw.
        const died = Exit.isFailure(exit) && !Cause.hasInterruptsOnly(exit.cause) && one.interrupted === undefined
        if (died) run(one, endingOf(handler, claimed, exit.cause), (exit) => end(one, exit))
        else end(one, exit)
      }
    )
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
