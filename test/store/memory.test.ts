import { describe, it } from "@effect/vitest"
import * as TestClock from "effect/testing/TestClock"
import { layerMemory } from "../../src/store/memory/index.ts"
import { suite } from "./suite.ts"

describe("Store in memory", () => {
  suite({ it: it.effect, layer: layerMemory, elapse: TestClock.adjust })
})
