/** The attempts that run in this process: each a fiber that is interrupted for a reason, and then ends by it. */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as Latch from "effect/Latch"
import { AttemptLost } from "../Attempt.ts"
import type { Ending } from "../domain/Attempt.ts"
import type { JobId } from "../domain/Job.ts"
import type { Handler } from "../Handlers.ts"
import type { Publish } from "../JobEvents.ts"
import type { Claimed, LeaseId, NewNote, Store, WorkerId } from "../store/Store.ts"
import type { Outcome } from "./Outcomes.ts"
import type { Memory } from "./remembering.ts"
import { endingOf } from "./endings.ts"
import { contextOf, type Reach, runAttempt } from "./runAttempt.ts"

/**
 * `released`: the worker gives it back; where somebody wants the job cancelled, the store then cancels it. `lost`: it is
 * no longer this worker's, and there is nothing to say of it.
 */
type Interruption = "released" | "lost"

/** One for every job: it is small, and what few handlers ask for is made when they do. */
class Running implements Reach {
  readonly handler: Handler
  readonly claimed: Claimed
  /** In nanoseconds, on a clock that nobody sets. */
  readonly startedAt: bigint
  /** The handler has completed the job in its own transaction, and that has committed. */
  completed = false
  fiber: Fiber.Fiber<Ending> | undefined = undefined
  interrupted: Interruption | undefined = undefined
  private readonly own: Own

  constructor(handler: Handler, claimed: Claimed, startedAt: bigint, own: Own) {
    this.handler = handler
    this.claimed = claimed
    this.startedAt = startedAt
    this.own = own
  }

  get stopping() {
    return this.own.stopping
  }

  get around() {
    return this.own.around
  }

  get memory() {
    return this.own.memoryOf(this.claimed)
  }

  complete(output: unknown) {
    return this.own.complete(this, output)
  }
}

/** What all attempts of a worker have in common. */
interface Own {
  readonly stopping: Effect.Effect<void>
  readonly around: Reach["around"]
  readonly memoryOf: (claimed: Claimed) => Memory
  readonly complete: (one: Running, output: unknown) => ReturnType<Reach["complete"]>
}

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
  const context = yield* Effect.context<never>()
  const clock = yield* Clock.Clock
  const stopping = Deferred.makeUnsafe<void>()
  const running = new Set<Running>()
  const none = Latch.makeUnsafe(true)
  // Its fibers are in no set but this one: they end here.
  yield* Effect.addFinalizer(() =>
    Effect.suspend(() => {
      interrupt("released")
      return none.await
    })
  )

  const endOf = ({ claimed, handler, startedAt }: Running, ending: Ending): Outcome => {
    const { attempt, id, kind, lease, queue } = claimed
    const ran = Duration.nanos(clock.monotonicTimeNanosUnsafe() - startedAt)
    const tell = handler.kind.events ? { kind, queue } : undefined
    return { id, lease, attempt, ran, ending, tell, claimed }
  }

  const complete = Effect.fnUntraced(function* (one: Running, output: unknown) {
    const { attempt, id } = one.claimed
    const [acceptance] = yield* options.store.finish(options.worker(), [endOf(one, { _tag: "Completed", output })])
    if (acceptance === "refused") return yield* new AttemptLost({ id, attempt })
    yield* options.store.afterCommit(Effect.sync(() => void (one.completed = true)))
  })

  const memoryOf = ({ attempt, id, lease }: Claimed): Memory => ({
    recall: options.store.recall(id),
    remember: (name, value) => options.store.remember(options.worker(), { id, lease, attempt, name, value }),
    note: (name, value) => options.note({ id, lease, attempt, name, value })
  })

  const own: Own = { stopping: Deferred.await(stopping), around: options.around, memoryOf, complete }

  /** What is to be said of an attempt whose fiber has ended. */
  const endingIn = ({ completed, interrupted }: Running, exit: Exit.Exit<Ending>): Ending | undefined => {
    if (interrupted === "lost") return undefined
    if (completed) return { _tag: "Completed" } // whatever happened after that: told again, it changes nothing
    return Exit.isSuccess(exit) ? exit.value : { _tag: "Released" }
  }

  const end = (one: Running, exit: Exit.Exit<Ending>) => {
    running.delete(one)
    const ending = endingIn(one, exit)
    options.onEnd(one.claimed, ending === undefined ? undefined : endOf(one, ending))
    if (running.size === 0) none.openUnsafe() // when it is written down, for whoever waits goes on at once
  }

  const run = (one: Running, effect: Effect.Effect<Ending>, onExit: (exit: Exit.Exit<Ending>) => void) => {
    one.fiber = Effect.runForkWith(contextOf(one.handler, one.claimed, context))(effect)
    one.fiber.addObserver(onExit)
  }

  const start = (claimed: Claimed) => {
    const handler = options.handlers.get(claimed.kind)!
    const one = new Running(handler, claimed, clock.monotonicTimeNanosUnsafe(), own)
    running.add(one)
    none.closeUnsafe()
    const { attempt, id, kind, queue } = claimed
    const attempting = Effect.suspend(() => runAttempt(handler, claimed, one))
    const started = options.publish?.([{ _tag: "Started", id, kind, queue, attempt }])
    run(one, started === undefined ? attempting : Effect.andThen(started, attempting), (exit) => {
      // A fiber that dies although everything in it is caught: what ran in it was no Effect, or a kind's own code threw.
      const died = Exit.isFailure(exit) && !Cause.hasInterruptsOnly(exit.cause) && one.interrupted === undefined
      if (died) run(one, endingOf(handler, claimed, exit.cause), (exit) => end(one, exit))
      else end(one, exit)
    })
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
    some: (isSuch: (claimed: Claimed) => boolean) => {
      for (const { claimed } of running) if (isSuch(claimed)) return true
      return false
    },
    size: () => running.size,
    /** Waits until none runs. */
    ended: none.await
  }
})

export type Attempts = Effect.Success<ReturnType<typeof make>>
