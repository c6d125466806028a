/** Worker processes as they are started in earnest, and what the store says of the jobs they run. */
import { assert, it } from "@effect/vitest"
import { PgClient } from "@effect/sql-pg/PgClient"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import { join } from "node:path"
import type { Client } from "../../src/Client.ts"
import type { JobId } from "../../src/domain/Job.ts"
import type { EmbeddedPostgres } from "../../src/EmbeddedPostgres.ts"
import * as Lanekeeper from "../../src/Lanekeeper.ts"
import { Store } from "../../src/store/Store.ts"
import type { Wakeup } from "../../src/Wakeup.ts"
import { eventually } from "./eventually.ts"
import { layerOwnServer } from "./ownServer.ts"
import { main, root, type Running, start } from "./processes.ts"
import { TestDatabase } from "./TestDatabase.ts"

export const workerApp = join(root, "test/support/workerApp.ts")

const ground = Lanekeeper.layerClient.pipe(Layer.provideMerge(Lanekeeper.layerPostgres()))

type Ground = Client | PgClient | Store | TestDatabase | Wakeup | Scope.Scope

export const test = (sentence: string, body: Effect.Effect<void, unknown, Ground>) =>
  it.live(
    sentence,
    () => body.pipe(Effect.scoped, Effect.provide(Layer.provideMerge(ground, TestDatabase.layer))),
    60_000
  )

/** On a server of its own. */
export const testOnServer = (sentence: string, body: Effect.Effect<void, unknown, Ground | EmbeddedPostgres>) =>
  it.live(sentence, () => body.pipe(Effect.scoped, Effect.provide(Layer.provideMerge(ground, layerOwnServer))), 60_000)

/** With `HOLDS` its handlers of `held` go on until it gets SIGUSR2. */
export const startWorker = Effect.fnUntraced(function* (env: Readonly<Record<string, string>> = {}) {
  const { url } = yield* TestDatabase
  const running = yield* start(process.execPath, [main, "worker", "--app", workerApp], {
    env: { DATABASE_URL: url, LANEKEEPER_CONCURRENCY: "200", ...env }
  })
  yield* running.says("A worker joined")
  return running
})

export const enqueue = Effect.fnUntraced(function* (kind: string, count = 1, payload: unknown = {}) {
  const { enqueue } = yield* Store
  return yield* enqueue(Array.from({ length: count }, () => ({ kind, queue: "default", priority: 5, payload })))
})

/** What a process said of its attempts: `job attempt` of each that it began, ended or interrupted. */
export const saidBy = (process: Running, word: "started" | "ended" | "interrupted") =>
  Effect.map(process.said, (output) =>
    Array.from(output.matchAll(new RegExp(`^${word} (\\S+ \\d+)$`, "gm")), ([, which]) => which!)
  )

export const untilSaid = (process: Running, word: "started" | "ended" | "interrupted", count: number) =>
  eventually(saidBy(process, word), (said) => said.length >= count)

/** How many jobs stand where. */
export const places = Effect.gen(function* () {
  const sql = yield* PgClient
  const rows = yield* sql<{ readonly place: string; readonly jobs: number }>`
    SELECT place, count(*)::int AS jobs FROM lanekeeper.jobs GROUP BY place ORDER BY place`
  return Object.fromEntries(rows.map(({ jobs, place }) => [place, jobs]))
})

export const untilPlaces = (wanted: Readonly<Record<string, number>>) =>
  eventually(places, (found) => JSON.stringify(found) === JSON.stringify(wanted))

/** How attempts ended, each line once: `state attempt` and how many. */
export const ends = Effect.gen(function* () {
  const sql = yield* PgClient
  const rows = yield* sql<{ readonly state: string; readonly attempt: number; readonly ends: number }>`
    SELECT state::text, attempt::int, count(*)::int AS ends FROM lanekeeper.attempt_end GROUP BY 1, 2 ORDER BY 2, 1`
  return Object.fromEntries(rows.map(({ attempt, ends, state }) => [`${state} ${attempt}`, ends]))
})

export const workerOf = Effect.fnUntraced(function* ({ pid }: Running) {
  const { workers } = yield* Store
  const row = (yield* workers).findLast(({ name }) => name.endsWith(`:${pid}`))
  return row ?? assert.fail(`no worker ${pid}`)
})

/** What the lane does once the worker was silent for long enough. */
export const rescue = Effect.fnUntraced(function* (process: Running, crashBudget = 3) {
  const { declareDead, rescueWorker } = yield* Store
  const { beats, id } = yield* workerOf(process)
  yield* declareDead(id, beats)
  return yield* rescueWorker(id, { limit: 1_000, crashBudget })
})

export const historyOf = Effect.fnUntraced(function* (id: JobId) {
  return Option.getOrThrow(yield* (yield* Store).show(id))
})
