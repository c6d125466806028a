import { layer } from "@effect/vitest"
import { suite } from "./suite.ts"
import { elapse, empty, layerSuite } from "./suitePostgres.ts"

layer(layerSuite, { excludeTestServices: true })("Store in PostgreSQL", (it) => {
  suite({ it: it.effect, empty, elapse })
})
