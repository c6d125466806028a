import { PgClient } from "@effect/sql-pg/PgClient"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Job from "../../../src/Job.ts"
import * as Lanekeeper from "../../../src/Lanekeeper.ts"
import * as Migrations from "../../../src/store/postgres/Migrations.ts"
import { Store } from "../../../src/store/Store.ts"
import { Wakeup } from "../../../src/Wakeup.ts"
import { type Contender, Payload, payload, queue } from "./Contender.ts"

const Note = Job.make("note", { payload: Payload, queue })

export const lanekeeper: Contender = {
  name: "Lanekeeper",
  prepare: Effect.asVoid(Migrations.migrate()),
  produce: Effect.gen(function* () {
    const sql = yield* PgClient
    const app = yield* Layer.build(Lanekeeper.layerClient.pipe(Layer.provideMerge(Lanekeeper.layerPostgres())))
    const store = Context.get(app, Store)
    const wakeup = Context.get(app, Wakeup)
    return {
      stock: Effect.fnUntraced(function* (jobs) {
        yield* store.pause(queue)
        yield* Effect.provideContext(Note.enqueueMany(Array.from({ length: jobs }, (_, n) => payload(n))), app)
      }),
      go: Effect.andThen(store.unpause(queue), wakeup.poke([queue])),
      one: (n) => Effect.provideContext(Effect.asVoid(Note.enqueue(payload(n))), app),
      ends: Effect.map(
        sql<{ readonly ended: number; readonly jobs: number; readonly left: number }>`
          SELECT count(*)::int AS ended, count(DISTINCT job) FILTER (WHERE attempt = 1 AND final = 'completed')::int AS jobs,
            (SELECT count(*) FROM lanekeeper.ticket)::int AS left
          FROM lanekeeper.attempt_end`,
        ([row]) => row!
      )
    }
  }),
  work: Effect.fnUntraced(function* ({ concurrency, ran }) {
    const worker = Lanekeeper.layerWorker({ jobs: [Note], queues: { [queue]: { concurrency } } }).pipe(
      Layer.provide(Note.handle(({ n }) => Effect.sync(() => ran(n)))),
      Layer.provide(Lanekeeper.layerPostgres())
    )
    yield* Layer.build(worker)
    return yield* Effect.never
  })
}
