/**
 * Prints what a job that spins costs its worker: the beats that were sent meanwhile and the longest time between two, and
 * how long it takes to cancel such a job. `node scripts/scenes/threads.ts [seconds]`, 60 by default.
 */
import * as PgClient from "@effect/sql-pg/PgClient"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as References from "effect/References"
import * as Schedule from "effect/Schedule"
import { Client } from "../../src/Client.ts"
import { DevelopmentDatabase } from "../../src/DevelopmentDatabase.ts"
import { layerPostgres } from "../../src/roles/ground.ts"
import { layerWorker } from "../../src/roles/worker.ts"
import * as Migrations from "../../src/store/postgres/Migrations.ts"
import { Store } from "../../src/store/Store.ts"
import * as Thread from "../../src/Thread.ts"
import { Spin } from "./spin/Spin.ts"

const seconds = Number(process.argv[2] ?? 60)

const until = <A, E, R>(look: Effect.Effect<A, E, R>, holds: (value: A) => boolean) =>
  Effect.repeat(look, { schedule: Schedule.spaced("5 millis"), until: holds })

const scene = Effect.gen(function* () {
  const store = yield* Store
  const client = yield* Client
  const isAt = (place: string) => Option.contains(place)

  const { id } = yield* Spin.enqueue({ seconds })
  yield* until(store.place(id), isAt("running"))
  const before = (yield* store.workers)[0]!
  let longest = 0
  let beats = before.beats
  let beatAt = performance.now()
  yield* until(
    Effect.gen(function* () {
      const [worker] = yield* store.workers
      const now = performance.now()
      if (worker!.beats !== beats) {
        longest = Math.max(longest, now - beatAt)
        beats = worker!.beats
        beatAt = now
      }
      return yield* store.place(id)
    }),
    isAt("completed")
  )
  console.log(`${seconds} s of spinning: ${beats - before.beats} beats, the longest silence ${Math.round(longest)} ms`)

  for (let round = 1; round <= 3; round++) {
    const { id } = yield* Spin.enqueue({ seconds: 3_600 })
    yield* until(store.place(id), isAt("running"))
    const asked = performance.now()
    yield* client.cancel(id, "enough")
    yield* until(store.place(id), isAt("cancelled"))
    console.log(`cancelled after ${Math.round(performance.now() - asked)} ms`)
  }
})

const app = Layer.unwrap(
  Effect.map(DevelopmentDatabase, ({ url }) =>
    layerWorker().pipe(
      Layer.provide(Thread.layer(Spin, new URL("./spin/spin.thread.ts", import.meta.url), { threads: 1 })),
      Layer.provideMerge(Client.layer),
      Layer.provideMerge(layerPostgres()),
      Layer.provide(Layer.effectDiscard(Migrations.migrate())),
      Layer.provideMerge(PgClient.layer({ url }))
    )
  )
).pipe(Layer.provide(DevelopmentDatabase.layer()))

await Effect.runPromise(scene.pipe(Effect.provide(app), Effect.provideService(References.MinimumLogLevel, "Warn")))
