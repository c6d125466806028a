/**
 * What every store promises, run over each of them. A test gets an empty store and a way to let time pass:
 * TestClock moves the clock, a database ages its rows.
 */
import { describe, type Vitest } from "@effect/vitest"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { SqlError } from "effect/sql/SqlError"
import type { Store } from "../../src/store/Store.ts"
import { ahead } from "./suiteAhead.ts"
import { claims } from "./suiteClaim.ts"
import { events } from "./suiteEvents.ts"
import { endings } from "./suiteFinish.ts"
import { lanes } from "./suiteLanes.ts"
import { leading, watching } from "./suiteLeading.ts"
import { notes } from "./suiteNotes.ts"
import { reads } from "./suiteReads.ts"
import { single } from "./suiteSingle.ts"
import { workers } from "./suiteWorkers.ts"
import { uniques } from "./suiteUnique.ts"
import { figures, presence, upkeep } from "./suiteUpkeep.ts"
import { makeWorld, type World } from "./suiteWorld.ts"

export interface StoreUnderTest<R> {
  /** `it.effect` for a store on Effect's clock, `it.live` for one that waits for sockets. */
  readonly it: Vitest.Tester<R | Scope.Scope>
  readonly empty: Effect.Effect<Store["Service"], SqlError, R | Scope.Scope>
  readonly elapse: (time: Duration.Input) => Effect.Effect<unknown, SqlError, R>
}

export type Test = (sentence: string, body: (world: World) => Effect.Effect<void, SqlError>) => void

export const suite = <R>({ elapse, empty, it }: StoreUnderTest<R>): void => {
  const test: Test = (sentence, body) =>
    it(sentence, () =>
      Effect.gen(function* () {
        const context = yield* Effect.context<R>()
        const age = (time: Duration.Input) => Effect.provideContext(elapse(time), context)
        yield* body(makeWorld(yield* empty, age))
      })
    )

  describe("enqueue and claim", () => {
    claims(test)
  })
  describe("claiming ahead and on the brink", () => {
    ahead(test)
  })
  describe("uniqueness", () => {
    uniques(test)
  })
  describe("finish", () => {
    endings(test)
  })
  describe("lanes", () => {
    lanes(test)
  })
  describe("events", () => {
    events(test)
  })
  describe("notes", () => {
    notes(test)
  })
  describe("leading", () => {
    leading(test)
  })
  describe("watching workers", () => {
    watching(test)
  })
  describe("moves of one job", () => {
    single(test)
  })
  describe("queues and workers", () => {
    workers(test)
  })
  describe("reads", () => {
    reads(test)
  })
  describe("upkeep", () => {
    upkeep(test)
    figures(test)
    presence(test)
  })
}
