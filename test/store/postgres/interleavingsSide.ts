/**
 * One who takes part in a meeting: a store on a connection of its own, which stops before each statement it sends and
 * wherever `interleavingsHolds.ts` lets it stop inside one, until it is let go.
 */
import { PgClient } from "@effect/sql-pg/PgClient"
import type { PgConnection } from "@effect/sql-pg/PgConnection"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import type { SqlError } from "effect/sql/SqlError"
import { stateOf } from "../../../src/store/postgres/DatabaseError.ts"
import { layerPostgres } from "../../../src/store/postgres/index.ts"
import { Slots } from "../../../src/store/postgres/Slots.ts"
import { Store } from "../../../src/store/Store.ts"
import { TestDatabase } from "../../support/TestDatabase.ts"
import { makeWorld } from "../suiteWorld.ts"
import type { Held } from "./interleavingsHolds.ts"

/** One caller's view: a store on its own connection. */
export type Caller = ReturnType<typeof makeWorld> & { readonly sql: PgClient; readonly slots: Slots["Service"] }

/** What a caller does, and how it tells what it was answered. */
export type Move = (caller: Caller) => Effect.Effect<string, SqlError>

class Vanished extends Error {}

export type Side = Effect.Success<ReturnType<typeof makeSide>>

const letters = ["a", "b", "c"]

/** A statement that does nothing but call a function, which has its own stops before it looks at anything. */
const stopsInside =
  /^\s*(SELECT [\w*, ]+ FROM \S+\.(claim|end_attempts|enqueue_many)\(|SELECT \S+\.rewrite\(|WITH taken AS)/

export const anotherClient = (database: TestDatabase["Service"]) =>
  Effect.map(database.client({ maxConnections: 1 }), (client) =>
    Context.get(client as Context.Context<PgClient>, PgClient)
  )

export const stores = (sql: PgClient) =>
  Layer.merge(layerPostgres(), Slots.layer()).pipe(Layer.provide(Layer.succeed(PgClient, sql)))

export const makeSide = Effect.fnUntraced(function* (control: PgConnection, index: number) {
  const real = yield* anotherClient(yield* TestDatabase)
  let pid = 0
  let stop = 0
  let at: "client" | "server" | "held" | "locked" | "gone" | "done" = "done"
  let place = ""
  let answer = ""
  let gate: Deferred.Deferred<void, never> = Deferred.makeUnsafe()

  /** Stops before each statement that the move sends, too. */
  const unsafe = <A extends object>(text: string, parameters?: ReadonlyArray<unknown>) => {
    const statement = real.unsafe<A>(text, parameters)
    if (at === "done" || stopsInside.test(text)) return statement
    const stopped = Effect.suspend(() => {
      gate = Deferred.makeUnsafe()
      at = "client"
      place = `stands before ${text.trim().replaceAll(/\s+/g, " ").slice(0, 80)}`
      return Effect.andThen(Deferred.await(gate), statement)
    })
    return stopped as typeof statement
  }
  const sql = new Proxy(real, {
    get: (target, name) => (name === "unsafe" ? unsafe : Reflect.get(target, name))
  })

  return {
    letter: letters[index]!,
    get pid() {
      return pid
    },
    get at() {
      return at
    },
    get place() {
      return place
    },
    get answer() {
      return answer
    },

    /** Begins a move, with a store that remembers nothing, up to its first statement. */
    begin: Effect.fnUntraced(function* (move: Move, over: ReadonlyArray<Held>) {
      at = "done"
      const built = yield* Layer.build(stores(sql))
      const world = makeWorld(Context.get(built, Store), () => Effect.die("time is for the scene"))
      const [row] = yield* real<{ pid: number }>`
        SELECT pg_backend_pid() AS pid, set_config('hold.side', ${String(index + 1)}, false),
          set_config('hold.tables', ${["commit", ...over].join(" ")}, false), setval(${`hold.stops_${index + 1}`}, 1, false)`
      pid = row!.pid
      stop = 1
      at = "server"
      answer = ""
      yield* move({ ...world, sql, slots: Context.get(built, Slots) }).pipe(
        Effect.exit,
        Effect.map((exit) => {
          answer = Exit.isSuccess(exit) ? exit.value : whyNot(exit.cause)
          place = `is done: ${answer}`
          at = "done"
        }),
        Effect.forkScoped
      )
    }),

    /** Goes on from where it stands. */
    go: Effect.suspend((): Effect.Effect<unknown, SqlError> => {
      const held = at === "held"
      at = "server"
      return held
        ? control.query("SELECT pg_advisory_lock($1, $2 + 1), pg_advisory_unlock($1, $2)", [index + 1, stop++])
        : Deferred.succeed(gate, undefined)
    }),
    /** Its process is gone, and what it had open is rolled back. */
    vanish: Effect.suspend((): Effect.Effect<unknown, SqlError> => {
      const held = at === "held"
      at = "gone"
      return held ? control.query("SELECT pg_cancel_backend($1)", [pid]) : Deferred.die(gate, new Vanished())
    }),
    /** Waits for a lock that is a stop, or one that somebody holds. */
    waits: (label: string | null) => {
      at = label === null ? "locked" : "held"
      if (label !== null) place = `stands ${label}`
      else place = "waits for a lock"
    }
  }
})

/** In the words of the outcome: only what can be answered in earnest has some. */
const whyNot = (cause: Cause.Cause<SqlError>): string => {
  const error = Cause.squash(cause)
  if (error instanceof Vanished) return "vanished"
  const state = stateOf(error as SqlError)
  return state === "57014" ? "vanished" : `fails with ${state ?? Cause.pretty(cause)}`
}
