/** What the drain and latency benchmarks drive: a queue with workers that are processes of their own. */
import type { PgClient } from "@effect/sql-pg/PgClient"
import type * as Effect from "effect/Effect"
import type { Scope } from "effect/Scope"
import * as Schema from "effect/Schema"

export const queue = "bench"

/** 200 bytes as JSON, give or take the digits of the number. */
export const Payload = Schema.Struct({ n: Schema.Int, text: Schema.String })

export const payload = (n: number): typeof Payload.Type => ({ n, text: "x".repeat(174) })

/** What came of the jobs of a database. All is well when each ended once, at the first attempt. */
export interface Ends {
  readonly ended: number
  readonly jobs: number
  readonly left: number
}

export interface Contender {
  readonly name: string
  /** What a database of it is cloned from is made by. */
  readonly prepare: Effect.Effect<void, unknown, PgClient>
  /** Opens a producer on the database of the client. */
  readonly produce: Effect.Effect<Producer, unknown, PgClient | Scope>
  /** Works until it is interrupted, and calls `ran` in the handler of each job. */
  readonly work: (options: {
    readonly concurrency: number
    readonly ran: (n: number) => void
  }) => Effect.Effect<never, unknown, PgClient | Scope>
}

export interface Producer {
  /** Enqueues many that nobody runs before `go`. */
  readonly stock: (jobs: number) => Effect.Effect<void, unknown>
  readonly go: Effect.Effect<void, unknown>
  /** Enqueues one that can run at once, and returns when it is committed. */
  readonly one: (n: number) => Effect.Effect<void, unknown>
  readonly ends: Effect.Effect<Ends, unknown>
}
