/**
 * Reclaims storage whole: a slot of the ring when every body in it is over and past retention, a shelf when it holds no
 * ticket. What still lives in an old slot can be copied to the attic first. Small tables are written anew.
 *
 * Content decides, never the clock: a slot that is not emptied in time is shared with what is written next. A snapshot
 * pinned elsewhere stops nothing here. A reader of these very tables does, for as long as it reads, and is answered
 * with `busy`: to wait for it would make every claim wait behind.
 */
import { PgClient } from "@effect/sql-pg/PgClient"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { SqlError } from "effect/sql/SqlError"
import { history } from "./migrations/jobs/bury.ts"
import { holdsTerm } from "./upkeep/holdsTerm.ts"
import { rewritingOn } from "./upkeep/rewriting.ts"
import { defaultName, quoted, type SchemaName } from "./SchemaName.ts"
import { int8s } from "./parameters.ts"

/** `used`: there is something left that must stay. `busy`: somebody reads or writes there now. */
export type Emptied = "emptied" | "empty" | "used" | "busy"

export interface SlotState {
  /** 0 is the attic. */
  readonly slot: number
  readonly bytes: number
  /** Whether what is enqueued now goes there. */
  readonly current: boolean
}

export class Slots extends Context.Service<
  Slots,
  {
    readonly states: Effect.Effect<ReadonlyArray<SlotState>, SqlError>
    readonly emptySlot: (slot: number) => Effect.Effect<Emptied, SqlError>
    readonly emptyShelf: (shelf: number) => Effect.Effect<Emptied, SqlError>
    /** Empties a small table of what is dead in it, and of nothing else, if it has so many bytes and few rows. */
    readonly rewrite: (table: string, leastBytes: number) => Effect.Effect<Emptied, SqlError>
    /** Copies at most `limit` bodies that are scheduled, ready or waiting. Running ones are waited for. */
    readonly evacuate: (slot: number, options: { readonly limit: number }) => Effect.Effect<number, SqlError>
    /** Deletes at most `limit` bodies from the attic that are over and past retention. */
    readonly clearAttic: (options: { readonly limit: number }) => Effect.Effect<number, SqlError>
  }
>()("lanekeeper/store/Slots") {
  static readonly layer = (options: { readonly schema?: SchemaName | undefined } = {}) =>
    Layer.effect(
      Slots,
      Effect.map(PgClient, (sql) => slotsOn(sql, quoted(options.schema ?? defaultName)))
    )
}

/**
 * What an ending without history leaves is nobody's to keep: it counts as past retention at once. By a time that stands
 * still during the statement: with another the planner would look up one end after another.
 */
export const pastRetention = (schema: string, body: string, done: string) =>
  `(${done}.ended_at < statement_timestamp() - (SELECT retention FROM ${schema}.ring) OR ${body}.details -> 'keep' = 'false')`

export const slotsOn = (sql: PgClient, schema: string) => {
  const allowed = holdsTerm(sql, schema)
  const rewrite = rewritingOn(sql, schema)

  const emptyStorage = Effect.fnUntraced(
    function* (
      tables: ReadonlyArray<string>,
      lock: ReadonlyArray<string>,
      isOver: string,
      toEmpty: ReadonlyArray<string> = []
    ) {
      // Looked at without a lock first: the look can take long, and usually says no.
      const over = Effect.map(sql.unsafe<{ readonly over: boolean }>(isOver), ([row]) => row!.over)
      const sizes = tables.map((table) => `pg_relation_size('${table}')`).join(" + ")
      const [size] = yield* sql.unsafe<{ readonly bytes: bigint }>(`SELECT ${sizes} AS bytes`)
      if (size!.bytes === 0n) return "empty" as const
      if (!(yield* over)) return "used" as const
      return yield* sql.withTransaction(
        Effect.gen(function* () {
          for (const statement of lock) yield* sql.unsafe(statement)
          if (!(yield* allowed) || !(yield* over)) return "used" as const
          for (const statement of toEmpty) yield* sql.unsafe(statement)
          yield* sql.unsafe(`TRUNCATE ${tables.join(", ")}`)
          return "emptied" as const
        })
      )
    },
    Effect.catchIf(isLockTimeout, () => Effect.succeed("busy" as const))
  )

  const emptySlot = (slot: number) => {
    const tables = [`${schema}.job_${slot}`, `${schema}.attempt_end_${slot}`]
    return emptyStorage(
      tables,
      // The look may take seconds. Nothing may be written meanwhile, but it must be read: every beat, and whatever else
      // reads the ring by its parent, would wait behind a stronger lock, until workers were taken for dead.
      [`LOCK TABLE ${tables.join(", ")} IN SHARE ROW EXCLUSIVE MODE NOWAIT`],
      // What moved to the attic or the dead is whole there. A lease that is left over must meet the ends of its attempts.
      // Counted, because all are read: for one that EXISTS the planner would begin to look up one end after another.
      `SELECT NOT EXISTS (SELECT FROM ${schema}.lease WHERE lease.slot = ${slot}) AND 0 = (
        SELECT count(*) FROM ${schema}.job_${slot} AS body WHERE NOT EXISTS (
          SELECT FROM ${schema}.attempt_end_${slot} AS done WHERE done.job = body.id
          AND (done.final IN ('moved', 'dead') OR done.final IS NOT NULL AND ${pastRetention(schema, "body", "done")})
        )
      ) AS over`,
      [soon, `LOCK TABLE ${tables.join(", ")} IN ACCESS EXCLUSIVE MODE`]
    )
  }

  const emptyShelf = (shelf: number) => {
    const table = `${schema}.ticket_${shelf}`
    return emptyStorage(
      [table],
      // Every claim holds this table for a moment, so that NOWAIT would hardly ever find it free.
      [soon, `LOCK TABLE ${table} IN ACCESS EXCLUSIVE MODE`],
      `SELECT NOT EXISTS (SELECT FROM ${table}) AS over`
    )
  }

  const pointer = "attempt, failures, crashes, deadline_ms, priority, queue, kind"
  const gone = (table: string, columns: string, condition: string) => `(
      DELETE FROM ${schema}.${table} AS pointer USING (
        SELECT ${columns} FROM ${schema}.${table} WHERE ${condition} FOR UPDATE SKIP LOCKED
      ) AS held
      WHERE (${columns
        .split(", ")
        .map((column) => `pointer.${column}`)
        .join(", ")}) = (${columns
        .split(", ")
        .map((column) => `held.${column}`)
        .join(", ")})
      RETURNING pointer.*
    )`

  // A pointer is not changed to name the copy: who still sees the old one must find the old body with it.
  const evacuateStatement = (slot: number) => `
    WITH scheduled AS ${gone("timed", "job", `job = ANY ($1) AND slot = ${slot}`)},
    waiting AS ${gone("wait", "job", `job = ANY ($1) AND slot = ${slot}`)},
    ready AS ${gone("ticket", "id, shelf", `(again = ANY ($1) OR again IS NULL AND id = ANY ($2)) AND slot = ${slot}`)},
    moved AS MATERIALIZED (
      SELECT job, attempt FROM scheduled UNION ALL SELECT job, attempt FROM waiting UNION ALL
      SELECT job, attempt FROM ready CROSS JOIN ${schema}.members(jobs) AS job
    ), copies AS (
      INSERT INTO ${schema}.job (id, ticket, enqueued_at, deadline_ms, slot, priority, queue, kind, payload, details, history)
      SELECT id, ticket, enqueued_at, deadline_ms, ${-slot}, priority, queue, kind, payload, details, ${history(schema, `${slot}`, "body")}
      FROM ${schema}.job_${slot} AS body JOIN moved ON moved.job = body.id
    ), ends AS (
      INSERT INTO ${schema}.attempt_end (job, attempt, slot, state, final)
      SELECT job, attempt + 1, ${slot}, 'moved', 'moved' FROM moved
    ), rescheduled AS (
      INSERT INTO ${schema}.timed (job, run_at, reason, slot, ${pointer}) SELECT job, run_at, reason, ${-slot}, ${pointer} FROM scheduled
    ), waiting_on AS (
      INSERT INTO ${schema}.wait (job, token, expires_at, on_expiry, slot, ${pointer})
      SELECT job, token, expires_at, on_expiry, ${-slot}, ${pointer} FROM waiting
    ), ready_still AS (
      INSERT INTO ${schema}.ticket (id, again, ready_at, size, shelf, turn, jobs, slot, ${pointer})
      SELECT id, again, ready_at, size, shelf, turn, jobs, ${-slot}, ${pointer} FROM ready
    )
    SELECT count(*)::int AS moved FROM moved`

  /** Beginning behind a body, and telling the last one it looked at: what is over before it is not read again. */
  const evacuateAfter = Effect.fnUntraced(function* (slot: number, limit: number, after: bigint) {
    const left = yield* sql.unsafe<{ readonly id: bigint; readonly ticket: bigint | null }>(
      `SELECT id, ticket FROM ${schema}.job_${slot} AS body
       CROSS JOIN LATERAL (
         SELECT EXISTS (SELECT FROM ${schema}.attempt_end_${slot} AS done WHERE done.job = body.id AND done.final IS NOT NULL) AS over OFFSET 0
       ) told
       WHERE id > $2 AND NOT over ORDER BY id LIMIT $1`,
      [limit, after]
    )
    if (left.length === 0) return { moved: 0, last: undefined }
    const tickets = new Set(left.flatMap(({ ticket }) => ticket ?? []))
    const [row] = yield* sql.unsafe<{ readonly moved: number }>(evacuateStatement(slot), [
      int8s(left.map(({ id }) => id)),
      int8s([...tickets])
    ])
    return { moved: row!.moved, last: left.length < limit ? undefined : left.at(-1)!.id }
  })

  const clearAtticStatement = `
    WITH over AS MATERIALIZED (
      SELECT done.job, done.slot FROM ${schema}.attempt_end_0 AS done JOIN ${schema}.job_0 AS body ON body.id = done.job AND body.slot = done.slot
      WHERE (final = 'dead' OR final <> 'revived' AND ${pastRetention(schema, "body", "done")})
        AND NOT EXISTS (SELECT FROM ${schema}.lease WHERE lease.jobs @> done.job AND lease.slot = done.slot)
      LIMIT $1 FOR UPDATE OF done SKIP LOCKED
    ), bodies AS (
      DELETE FROM ${schema}.job_0 AS body USING over WHERE body.id = over.job AND body.slot = over.slot
    ), ends AS (
      DELETE FROM ${schema}.attempt_end_0 AS done USING over WHERE done.job = over.job AND done.slot = over.slot
    )
    SELECT count(*)::int AS cleared FROM over`

  const statesStatement = `
    SELECT slot::int, (pg_total_relation_size(format('${schema}.job_%s', slot)) + pg_total_relation_size(format('${schema}.attempt_end_%s', slot)))::float8 AS bytes,
      slot = 1 + floor(extract(epoch FROM clock_timestamp()) / extract(epoch FROM ring.period))::bigint % ring.slots AS current
    FROM (SELECT * FROM ${schema}.ring LIMIT 1) AS ring CROSS JOIN generate_series(0, ring.slots) AS slot ORDER BY slot`

  const slots = Slots.of({
    states: sql.unsafe<SlotState>(statesStatement),
    emptySlot,
    emptyShelf,
    rewrite: (table: string, leastBytes: number) =>
      Effect.catchIf(rewrite(table, leastBytes), isLockTimeout, () => Effect.succeed("busy" as const)),
    evacuate: (slot: number, { limit }: { readonly limit: number }) =>
      Effect.map(evacuateAfter(slot, limit, 0n), ({ moved }) => moved),
    clearAttic: ({ limit }) =>
      Effect.map(sql.unsafe<{ readonly cleared: number }>(clearAtticStatement, [limit]), ([row]) => row!.cleared)
  })
  return { ...slots, evacuateAfter }
}

/** Whoever waits for a lock lets nobody by who comes later. */
const soon = `SET LOCAL lock_timeout = '20ms'`

const isLockTimeout = (error: SqlError) => error.reason._tag === "LockTimeoutError"
