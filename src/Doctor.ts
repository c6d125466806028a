/**
 * Examines a database and all that works on it, and says of each thing whether it is well, with a remedy where it is
 * not. It changes nothing.
 */
import { PgClient } from "@effect/sql-pg/PgClient"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Redacted from "effect/Redacted"
import type { SqlError } from "effect/sql/SqlError"
import { channels } from "./doctor/channels.ts"
import { fine, type Finding, wrong } from "./doctor/Finding.ts"
import { server } from "./doctor/server.ts"
import { type KnownLane, work } from "./doctor/work.ts"
import * as Settings from "./Settings.ts"
import { rootMessage } from "./store/postgres/DatabaseError.ts"
import { gather } from "./store/postgres/facts.ts"
import { storeOn } from "./store/postgres/index.ts"
import * as Migrations from "./store/postgres/Migrations.ts"
import { schemaName, type SchemaName } from "./store/postgres/SchemaName.ts"
import { Store } from "./store/Store.ts"

export type { Finding } from "./doctor/Finding.ts"

export interface DoctorOptions {
  /** Defaults to `lanekeeper`. */
  readonly schema?: string | undefined
  readonly directUrl?: Redacted.Redacted | undefined
  readonly leadership?: "lock" | "lease" | undefined
  readonly lanes: ReadonlyArray<KnownLane>
  /** Longer than this a worker may not be silent. Defaults to 30 seconds. */
  readonly staleAfter?: Duration.Input | undefined
  /** What holds a snapshot or a piece of storage for longer is told. Defaults to 1 minute. */
  readonly longerThan?: Duration.Input | undefined
}

export const examine = Effect.fn("Doctor.examine")(function* (options: DoctorOptions) {
  const sql = yield* PgClient
  const schema = yield* schemaName(options.schema)
  const checked = yield* Effect.result(Migrations.check({ schema }))
  if (checked._tag === "Failure") return [unusable(checked.failure)]
  const version = fine("schema", `The schema ${schema} is at version ${checked.success}`)
  const found = yield* Effect.result(examineAll(sql, schema, options))
  return [version, ...(found._tag === "Failure" ? [cutShort(found.failure)] : found.success)]
}, Effect.scoped)

const examineAll = Effect.fnUntraced(function* (sql: PgClient, schema: SchemaName, options: DoctorOptions) {
  const before = yield* Clock.currentTimeMillis
  const facts = yield* gather(sql, schema, Duration.fromInputUnsafe(options.longerThan ?? "1 minute"))
  const after = yield* Clock.currentTimeMillis
  const store = yield* storeOn(sql, schema)
  const staleAfter = Duration.fromInputUnsafe(options.staleAfter ?? Settings.staleAfter.fallback.value)
  return [
    ...server(facts, { now: (before + after) / 2, spread: after - before }),
    ...(yield* channels(sql, { ...options, channel: `${schema}_doctor_${crypto.randomUUID().slice(0, 8)}` })),
    ...(yield* work({ lanes: options.lanes, staleAfter }).pipe(Effect.provideService(Store, store)))
  ]
})

export const isHealthy = (findings: ReadonlyArray<Finding>): boolean =>
  findings.every(({ verdict }) => verdict !== "wrong")

const cutShort = (error: SqlError) =>
  wrong(
    "database",
    `It could not be examined to the end (${rootMessage(error)})`,
    "see that the server runs and that this login may read Lanekeeper's tables, and try again"
  )

/** Errors say what is so and, after a colon, what to do. */
const unusable = ({ message }: { readonly message: string }): Finding => {
  const split = message.lastIndexOf(": ")
  return wrong("database", message.slice(0, split), message.slice(split + 2))
}
