/** A worker whose network is cut, or swallows what it is given. */
import { describe, it } from "@effect/vitest"
import { PgClient } from "@effect/sql-pg/PgClient"
import * as Pg from "@effect/sql-pg/PgClient"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Scope from "effect/Scope"
import { Client } from "../../src/Client.ts"
import { layerPostgres } from "../../src/roles/ground.ts"
import { layerWorker } from "../../src/roles/worker.ts"
import { Store } from "../../src/store/Store.ts"
import { eventually } from "../support/eventually.ts"
import { makeNetwork } from "../support/network.ts"
import { TestDatabase } from "../support/TestDatabase.ts"
import { Work } from "./world.ts"

const ground = Client.layer.pipe(Layer.provideMerge(layerPostgres()), Layer.provideMerge(TestDatabase.layer))

const test = (
  sentence: string,
  body: Effect.Effect<void, unknown, TestDatabase | PgClient | Store | Client | Scope.Scope>
) => it.live(sentence, () => body.pipe(Effect.scoped, Effect.provide(ground)), 60_000)

const workerOver = Effect.fnUntraced(function* (url: string, handler: ReturnType<typeof Work.handle<never>>) {
  const scope = yield* Scope.make()
  yield* Effect.addFinalizer(() => Scope.close(scope, Exit.void))
  yield* Layer.buildWithScope(
    layerWorker({ heartbeat: "300 millis", staleAfter: "1200 millis", drain: "100 millis" }).pipe(
      Layer.provide(handler),
      Layer.provide(Layer.fresh(layerPostgres())),
      Layer.provide(Layer.fresh(Pg.layer({ url: Redacted.make(url) })))
    ),
    scope
  )
  return scope
})

describe("A worker behind a network that swallows everything", () => {
  test(
    "ends although nothing answers, what it cannot say being left to a rescue [LK-A11, LK-A15]",
    Effect.gen(function* () {
      const { blackHole, url } = yield* makeNetwork((yield* TestDatabase).url)
      const store = yield* Store
      const { id } = yield* Work.enqueue({ n: 0 })
      const scope = yield* workerOver(
        url,
        Work.handle(() => Effect.never)
      )
      yield* eventually(Effect.map(store.place(id), Option.getOrThrow), (place) => place === "running")
      yield* blackHole
      yield* Scope.close(scope, Exit.void)
    })
  )
})
