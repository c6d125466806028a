/**
 * Walks over every body and every pointer, page by page, for what contradicts what. One process walks at a time; where
 * the walk stands is stored, so that any other can go on with it.
 */
import type { PgClient } from "@effect/sql-pg/PgClient"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { Store } from "../../Store.ts"
import type { Damage, Upkeep } from "../../Upkeep.ts"
import { shelves, slots } from "../migrations/jobs/tables.ts"
import { json } from "../parameters.ts"
import { type Page, stepsOver } from "./damage.ts"
import { holdsTerm } from "./holdsTerm.ts"

interface Survey {
  readonly step: number
  readonly after: bigint
  readonly found: Readonly<Record<string, number>>
  /** When each was reported last, in milliseconds. */
  readonly told: Readonly<Record<string, number>>
  /** Whether there is nothing to read, step by step. */
  readonly empty: ReadonlyArray<boolean>
}

const again = Duration.toMillis("1 hour") // what stands is reported no more often
const emptyPage: Page = { repaired: {}, damage: [], queues: [], next: undefined }
const nothing = { repaired: {}, reported: [], queues: [], full: false }

export const reconciling = (
  sql: PgClient,
  schema: string,
  rescueWorker: Store["Service"]["rescueWorker"]
): Pick<Upkeep, "reconcile" | "findings" | "readyQueues"> => {
  const allowed = holdsTerm(sql, schema)
  const steps = stepsOver(sql, schema, rescueWorker)

  // In the order of the steps. Most of the ring is empty most of the time, and a page of nothing costs five statements.
  const isEmpty = (table: string) => `pg_relation_size('${schema}.${table}') = 0`
  // Not to compile what follows: on any connection that would take longer than to run it.
  const stand = `
    SELECT set_config('jit', 'off', true), step, after, found, told, ARRAY[
      ${Array.from({ length: slots + 1 }, (_, slot) => isEmpty(`job_${slot}`)).join(", ")},
      ${Array.from({ length: shelves }, (_, shelf) => isEmpty(`ticket_${shelf}`)).join(" AND ")},
      ${isEmpty("timed")}, ${isEmpty("wait")}, ${isEmpty("lease")}
    ] AS empty
    FROM ${schema}.survey FOR UPDATE SKIP LOCKED`
  const goOn = `UPDATE ${schema}.survey SET step = $1, after = $2, found = $3, told = $4`
  const end = `
    UPDATE ${schema}.survey SET step = 0, after = 0, found = '{}', told = $2, damage = $1, ended_at = clock_timestamp()`

  const reconcile: Upkeep["reconcile"] = Effect.fnUntraced(function* ({ crashBudget, limit }) {
    if (!(yield* allowed)) return nothing
    const [survey] = yield* sql.unsafe<Survey>(stand)
    if (survey === undefined) return nothing // somebody else walks
    const nextOf = (from: number) => survey.empty.findIndex((empty, step) => step >= from && !empty)
    const at = survey.after > 0n ? survey.step : nextOf(survey.step)
    const page = at < 0 ? emptyPage : yield* steps[at]!(survey.after, limit, crashBudget)
    const { damage, next, queues, repaired } = page

    const now = yield* Clock.currentTimeMillis
    const isRecent = (at: number | undefined) => at !== undefined && now - at < again
    const keyOf = ({ id, kind }: Damage) => `${kind} ${id}`
    const reported = damage.filter((one) => !isRecent(survey.told[keyOf(one)]))
    const told = {
      ...Object.fromEntries(Object.entries(survey.told).filter(([, at]) => isRecent(at))),
      ...Object.fromEntries(reported.map((one) => [keyOf(one), now]))
    }
    const found: Record<string, number> = { ...survey.found }
    for (const { kind } of damage) found[kind] = (found[kind] ?? 0) + 1

    const step = at < 0 || next !== undefined ? at : nextOf(at + 1)
    const full = step >= 0
    yield* full
      ? sql.unsafe(goOn, [step, next ?? 0n, json(found), json(told)])
      : sql.unsafe(end, [json(found), json(told)])
    return { repaired, reported, queues, full }
  }, sql.withTransaction)

  return {
    reconcile,
    findings: Effect.map(
      sql.unsafe<{ readonly age: number; readonly damage: Readonly<Record<string, number>> }>(
        `SELECT (extract(epoch FROM clock_timestamp() - ended_at) * 1000)::float8 AS age, damage
         FROM ${schema}.survey WHERE ended_at IS NOT NULL`
      ),
      ([row]) => Option.map(Option.fromUndefinedOr(row), ({ age, damage }) => ({ age: Duration.millis(age), damage }))
    ),
    readyQueues: Effect.map(
      sql.unsafe<{ readonly queue: string }>(`
        WITH RECURSIVE queue AS (
          (SELECT queue FROM ${schema}.ticket ORDER BY queue LIMIT 1)
          UNION ALL
          SELECT (SELECT ticket.queue FROM ${schema}.ticket WHERE ticket.queue > queue.queue ORDER BY ticket.queue LIMIT 1)
          FROM queue WHERE queue.queue IS NOT NULL
        )
        SELECT queue FROM queue WHERE queue IS NOT NULL`),
      (rows) => rows.map(({ queue }) => queue)
    )
  }
}
