/** What every way of electing promises, run over each of them. */
import { assert, describe } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Ref from "effect/Ref"
import type * as Scope from "effect/Scope"
import { LeaderElection } from "../../src/LeaderElection.ts"
import { Store, type Term, UnderTerm } from "../../src/store/Store.ts"

export interface ElectionUnderTest<R> {
  readonly test: (sentence: string, body: () => Effect.Effect<void, unknown, R | Store | Scope.Scope>) => void
  /** One more process of the same schema. */
  readonly candidate: (holder: string) => Effect.Effect<LeaderElection["Service"], unknown, R | Store | Scope.Scope>
  /** Takes the lead from whoever has it, against its will. */
  readonly depose: Effect.Effect<unknown, unknown, R | Store>
  readonly eventually: <A, E2, R2>(
    look: Effect.Effect<A, E2, R2>,
    holds: (value: A) => boolean
  ) => Effect.Effect<unknown, E2, R2>
}

export const suite = <R = never>({ candidate, depose, eventually, test }: ElectionUnderTest<R>): void => {
  /** A candidate whose lanes only say that they live, and under which term. */
  const running = Effect.fnUntraced(function* (holder: string) {
    const election = yield* candidate(holder)
    const terms = yield* Ref.make<ReadonlyArray<Term>>([])
    const live = yield* Ref.make(0)
    const enough = yield* Deferred.make<void>()
    const lanes = Effect.gen(function* () {
      const term = Option.getOrThrow(yield* UnderTerm)
      yield* Ref.update(terms, (before) => [...before, term])
      yield* Effect.acquireUseRelease(
        Ref.update(live, (n) => n + 1),
        () => Deferred.await(enough),
        () => Ref.update(live, (n) => n - 1)
      )
    })
    const fiber = yield* Effect.forkScoped(election.lead(lanes))
    return { election, fiber, enough, terms: Ref.get(terms), live: Ref.get(live), holder }
  })
  const leads = ({ live }: { readonly live: Effect.Effect<number> }) => eventually(live, (n) => n === 1)

  describe("LeaderElection", () => {
    test("lets one lead, and the next one when that one stops, under a higher term [LK-B1]", () =>
      Effect.gen(function* () {
        const store = yield* Store
        const first = yield* running("first")
        yield* leads(first)
        const second = yield* running("second")
        const term = (yield* first.terms)[0]!
        assert.deepInclude(yield* store.leader, { term, holder: Option.some("first") })
        assert.deepStrictEqual(yield* first.election.term, Option.some(term))
        assert.strictEqual(yield* second.live, 0)
        assert.deepStrictEqual(yield* second.election.term, Option.none())

        yield* Deferred.succeed(first.enough, undefined)
        yield* leads(second)
        yield* Fiber.join(first.fiber)
        const next = (yield* second.terms)[0]!
        assert.isTrue(next > term)
        assert.deepInclude(yield* store.leader, { term: next, holder: Option.some("second") })
        assert.deepStrictEqual(yield* first.election.term, Option.none())
      }))

    test("lets go when it is interrupted, after its lanes have ended [LK-B3]", () =>
      Effect.gen(function* () {
        const first = yield* running("first")
        yield* leads(first)
        const second = yield* running("second")
        yield* Fiber.interrupt(first.fiber)
        assert.strictEqual(yield* first.live, 0)
        yield* leads(second)
      }))

    test("interrupts the lanes when the lead is lost, and campaigns again [LK-B3]", () =>
      Effect.gen(function* () {
        const only = yield* running("only")
        yield* leads(only)
        const [term] = yield* only.terms
        yield* depose
        yield* eventually(only.terms, (terms) => terms.length === 2)
        assert.strictEqual(yield* only.live, 1)
        assert.isTrue((yield* only.terms)[1]! > term!)
      }))

    test("has one leader at a time among five, whoever is deposed [LK-B1]", () =>
      Effect.gen(function* () {
        const all = yield* Effect.forEach(["a", "b", "c", "d", "e"], running)
        const total = Effect.map(
          Effect.forEach(all, ({ live }) => live),
          (counts) => counts.reduce((a, b) => a + b)
        )
        const terms = Effect.map(
          Effect.forEach(all, ({ terms }) => terms),
          (lists) => lists.flat()
        )
        for (const round of [1, 2, 3]) {
          yield* eventually(terms, (seen) => seen.length === round)
          yield* eventually(total, (n) => n === 1)
          if (round < 3) yield* depose
        }
        const seen = yield* terms
        assert.lengthOf(new Set(seen), 3)
      }))

    test("fails as its lanes fail, and lets go [LK-B3]", () =>
      Effect.gen(function* () {
        const election = yield* candidate("first")
        const failure = yield* Effect.flip(election.lead(Effect.fail("no lanes" as const)))
        assert.strictEqual(failure, "no lanes")
        yield* leads(yield* running("second"))
      }))
  })
}

/** A candidate of its own, as if another process had built the layer. */
export const build = <E, R>(layer: Layer.Layer<LeaderElection, E, R>) =>
  Effect.map(Layer.build(Layer.fresh(layer)), Context.get(LeaderElection))
