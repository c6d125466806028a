import type { PgClient } from "@effect/sql-pg/PgClient"
import { describe, it, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as TestClock from "effect/testing/TestClock"
import { Store } from "../../src/store/Store.ts"
import { Wakeup } from "../../src/Wakeup.ts"
import { elapse, empty, layerSuite } from "../store/suitePostgres.ts"
import { quietly } from "../support/quietly.ts"
import { type LanesUnderTest, suite } from "./suite.ts"
import { outboxSuite } from "./suiteOutbox.ts"
import { ground } from "./world.ts"

describe("in memory", () => {
  const memory: LanesUnderTest<never> = {
    it: (sentence, body) => it.effect(sentence, () => quietly(body()).pipe(Effect.provide(ground))),
    empty: Store,
    elapse: TestClock.adjust
  }
  suite(memory)
  outboxSuite(memory)
})

layer(layerSuite.pipe(Layer.provideMerge(Wakeup.layerLocal)), { excludeTestServices: true })("in PostgreSQL", (it) => {
  const postgres: LanesUnderTest<PgClient> = {
    it: (sentence, body) => it.effect(sentence, () => quietly(body())),
    empty,
    elapse
  }
  suite(postgres)
  outboxSuite(postgres)
})
