/** What every way of electing shares: one term after another, each with its lanes, for as long as they want to run. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Ref from "effect/Ref"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as Semaphore from "effect/Semaphore"
import type * as Scope from "effect/Scope"
import { jittered } from "../jitter.ts"
import { type Term, UnderTerm } from "../store/Store.ts"

/** The term is over, or could not begin. Lanes were interrupted, and campaigning goes on. */
export class LeadershipLost extends Schema.TaggedError<LeadershipLost>()("LeadershipLost", {
  reason: Schema.String
}) {
  override get message() {
    return `Leadership was lost (${this.reason})`
  }
}

export interface Held {
  readonly term: Term
  /** Fails as soon as the term may be over. */
  readonly lost: Effect.Effect<never, LeadershipLost>
}

/** How long a follower waits before it asks again, give or take a tenth. */
export const retryAfter = Duration.millis(500)

/** `take` waits until a term is held. It lets go of it when its scope closes. */
export const campaigning = Effect.fnUntraced(function* (take: Effect.Effect<Held, LeadershipLost, Scope.Scope>) {
  const current = yield* Ref.make(Option.none<Term>())
  const silent = yield* Ref.make(false)
  // Roles that share a process do not compete with each other: what leads is the process.
  const turn = yield* Semaphore.make(1)

  const oneTerm = <E, R>(lanes: Effect.Effect<void, E, R>) =>
    Effect.gen(function* () {
      const { lost, term } = yield* Effect.catchDefect(take, (defect) =>
        Effect.fail(new LeadershipLost({ reason: String(defect) }))
      )
      yield* Ref.set(silent, false)
      yield* Effect.acquireRelease(Ref.set(current, Option.some(term)), () => Ref.set(current, Option.none()))
      yield* Effect.logInfo("Leading", { term: String(term) })
      yield* lanes.pipe(Effect.provideService(UnderTerm, Option.some(term)), Effect.raceFirst(lost))
      return "over" as const
    }).pipe(Effect.scoped)

  /** Said once until a term begins: a database that is away for an hour is one line, not thousands. */
  const say = ({ reason }: LeadershipLost) =>
    Effect.flatMap(Ref.getAndSet(silent, true), (said) =>
      said ? Effect.void : Effect.logWarning("Not leading, and trying again", { reason })
    )

  const lead = <E, R>(lanes: Effect.Effect<void, E, R>) =>
    oneTerm(lanes).pipe(
      Effect.catchIf(
        (error): error is LeadershipLost => error instanceof LeadershipLost,
        (error) => Effect.as(say(error), "lost" as const)
      ),
      Effect.repeat({
        schedule: Schedule.forever.pipe(Schedule.addDelay(() => jittered(retryAfter))),
        while: (how) => how === "lost"
      }),
      Effect.asVoid,
      turn.withPermits(1)
    ) as Effect.Effect<void, E, Exclude<R, Scope.Scope>>

  return { lead: lead as <E, R>(lanes: Effect.Effect<void, E, R>) => Effect.Effect<void, E, R>, term: Ref.get(current) }
})
