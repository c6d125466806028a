/** A database with jobs in several places, and the command line on it. */
import { assert, it } from "@effect/vitest"
import type { PgClient } from "@effect/sql-pg/PgClient"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import { Client } from "../../src/Client.ts"
import type { Ending } from "../../src/domain/Attempt.ts"
import * as Job from "../../src/Job.ts"
import * as Lanekeeper from "../../src/Lanekeeper.ts"
import { Store } from "../../src/store/Store.ts"
import type { Wakeup } from "../../src/Wakeup.ts"
import { runCommand } from "../support/commandLine.ts"
import { TestDatabase } from "../support/TestDatabase.ts"

export const Note = Job.make("note", { payload: Schema.Unknown })

export const ground = Lanekeeper.layerClient.pipe(
  Layer.provideMerge(Lanekeeper.layerPostgres()),
  Layer.provideMerge(TestDatabase.layer)
)

type Ground = Client | PgClient | Store | TestDatabase | Wakeup | Scope.Scope

export const test = (sentence: string, body: Effect.Effect<void, unknown, Ground>) =>
  it.live(sentence, () => body.pipe(Effect.scoped, Effect.provide(ground)), 30_000)

export const command = Effect.fnUntraced(function* (...args: ReadonlyArray<string>) {
  return yield* runCommand(args, { DATABASE_URL: (yield* TestDatabase).url })
})

/** What a command prints for people. */
export const printed = Effect.fnUntraced(function* (...args: ReadonlyArray<string>) {
  const { stderr, stdout, succeeded } = yield* command(...args)
  assert.isTrue(succeeded, stderr)
  return stdout
})

/** What it prints with `--json`, which has to be what its Schema says and nothing more. */
export const answered = Effect.fnUntraced(function* <S extends Schema.Top>(schema: S, ...args: ReadonlyArray<string>) {
  const { exit, stderr, stdout } = yield* command(...args, "--json")
  assert.notStrictEqual(stdout, "", `${stderr}${JSON.stringify(exit)}`)
  const answer: S["Type"] = yield* Schema.decodeEffect(Schema.fromJsonString(schema))(stdout, {
    onExcessProperty: "error"
  })
  return answer
})

/** Runs the next job of a queue as a worker would, with this ending. */
export const runNext = Effect.fnUntraced(function* (queue: string, ending?: Ending) {
  const store = yield* Store
  const worker = yield* store.register("a worker", { kinds: ["note"], queues: [queue] })
  const [claimed] = (yield* store.claim({ worker, kinds: ["note"], queues: [{ queue, limit: 1 }] })).jobs
  const { attempt, id, lease } = claimed!
  if (ending !== undefined) yield* store.finish(worker, [{ id, lease, attempt, ran: Duration.zero, ending }])
  return { id, worker }
})

export const dies = { _tag: "Died", reason: "it was no use" } as const
