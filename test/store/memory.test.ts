import { describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as TestClock from "effect/testing/TestClock"
import { layerMemory } from "../../src/store/memory/index.ts"
import { Store } from "../../src/store/Store.ts"
import { suite } from "./suite.ts"

describe("Store in memory", () => {
  const empty = Effect.map(Layer.build(Layer.fresh(layerMemory)), Context.get(Store))
  suite({ it: it.effect, empty, elapse: TestClock.adjust })
})
