import type { PgClient } from "@effect/sql-pg/PgClient"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { type JobId, makeId } from "../../domain/Job.ts"
import { storableJson } from "../../domain/json.ts"
import { millis } from "../../domain/millis.ts"
import type { Enqueued, NewJob, Store, Uniqueness } from "../Store.ts"
import { isBadRow } from "./apart.ts"
import { alone } from "./lazily.ts"
import { shelves } from "./migrations/jobs/tables.ts"
import { int2s, int8s, jsons, texts, times } from "./parameters.ts"
import { together } from "./together.ts"

type Enqueueing = "enqueue" | "enqueueUnique" | "atomically" | "afterCommit"

const milliseconds = (duration: Duration.Duration | undefined) => (duration === undefined ? null : millis(duration))

/** Whether it can run at once, whatever the clock says. */
const isReady = ({ runAt, runIn }: NewJob) =>
  runAt === undefined && (runIn === undefined || Duration.toMillis(runIn) <= 0)

interface Written {
  readonly job: NewJob
  readonly payload: string
  readonly details: string | null
}

/** As JSON, before it is put together with others: what has none fails alone. */
const written = (job: NewJob): Written => ({
  job,
  payload: job.json ?? JSON.stringify(job.payload ?? null),
  details: job.details === undefined || job.details === null ? null : storableJson(job.details)
})

/** The arrays both functions begin with. */
const columns = (all: ReadonlyArray<Written>, jobs: ReadonlyArray<NewJob> = all.map(({ job }) => job)) => [
  texts(jobs.map((job) => job.kind)),
  texts(jobs.map((job) => job.queue)),
  int2s(jobs.map((job) => job.priority)),
  texts(all.map(({ payload }) => payload)),
  texts(all.map(({ details }) => details)),
  int8s(jobs.map((job) => milliseconds(job.deadline))),
  times(jobs.map((job) => (job.runAt === undefined ? null : DateTime.toDate(job.runAt)))),
  int8s(jobs.map((job) => milliseconds(job.runIn)))
]

const keyOf = ({ by }: Uniqueness) => (typeof by === "object" && "key" in by ? by.key : null)
const fieldsOf = ({ by }: Uniqueness) => (typeof by === "object" && "fields" in by ? by.fields : null)

interface UniqueRow {
  readonly number: bigint
  readonly home: number
  readonly outcome: Enqueued["outcome"]
  readonly former: bigint | null
  readonly former_home: number | null
}

export const enqueueing = Effect.fnUntraced(function* (sql: PgClient, schema: string) {
  const manyStatement = `SELECT * FROM ${schema}.enqueue_many($1, $2, $3, $4, $5::text[]::jsonb[], $6, $7, $8)`

  // What `enqueue_many` does for one job that is ready, for those who enqueue one by one: a function costs as much again.
  const oneStatement = `
    WITH made AS MATERIALIZED (
      SELECT nextval('${schema}.job_number') AS id, nextval('${schema}.pointer_number') AS ticket, statement_timestamp() AS moment,
        (1 + floor(extract(epoch FROM statement_timestamp()) / extract(epoch FROM period))::bigint % slots)::smallint AS slot,
        floor(extract(epoch FROM statement_timestamp()) / extract(epoch FROM shelf_period))::bigint % ${shelves} AS shelf
      FROM ${schema}.ring
    ), pointer AS (
      INSERT INTO ${schema}.ticket (id, shelf, turn, size, jobs, attempt, failures, crashes, deadline_ms, slot, priority, queue, kind)
      SELECT ticket, shelf, 2 * $3::smallint + 1, 1, int8multirange(int8range(id, id, '[]')), 0, 0, 0, $6::bigint, slot, $3, $2::text, $1::text
      FROM made
    ), body AS (
      INSERT INTO ${schema}.job (id, ticket, enqueued_at, deadline_ms, slot, priority, queue, kind, payload, details)
      SELECT id, ticket, moment, $6, slot, $3, $2, $1, $4::jsonb, $5::jsonb FROM made
    )
    SELECT id, slot FROM made`

  const one = ({ details, job: { deadline, kind, priority, queue }, payload }: Written) =>
    Effect.map(
      sql.unsafe<{ readonly id: bigint; readonly slot: number }>(oneStatement, [
        kind,
        queue,
        priority,
        payload,
        details,
        milliseconds(deadline)
      ]),
      ([row]): ReadonlyArray<JobId> => [makeId(row!.slot, row!.id)]
    )

  const many = (all: ReadonlyArray<Written>) =>
    Effect.map(
      sql.unsafe<{ readonly ids: ReadonlyArray<bigint>; readonly slots: ReadonlyArray<number> }>(
        manyStatement,
        columns(all)
      ),
      ([row]) => row!.ids.map((id, index) => makeId(row!.slots[index]!, id))
    )

  const write = (all: ReadonlyArray<Written>) => {
    const [first] = all
    return first !== undefined && all.length === 1 && isReady(first.job) ? one(first) : many(all)
  }

  const writeTogether = yield* together({
    send: write,
    bytes: ({ payload }) => payload.length,
    isOnes: isBadRow
  })

  const uniques = `unnest($1::text[], $2::text[], $3::int2[], $4::text[], $5::text[]::jsonb[], $6::bigint[], $7::timestamptz[], $8::bigint[],
      $9::text[], $10::jsonb[], $11::jsonb[], $12::bigint[], $13::text[]) WITH ORDINALITY
      AS job (kind, queue, priority, payload, details, deadline, run_at, run_in, key, fields, places, period, on_conflict, ord)`
  const list = (json: string) => `(SELECT array_agg(element) FROM jsonb_array_elements_text(${json}) AS element)`
  // Two bulk calls with the same keys in another order would otherwise wait for each other.
  const lockKeys = `
    INSERT INTO ${schema}.unique_key AS held (kind, key)
    SELECT DISTINCT kind, ${schema}.unique_key_of(payload::jsonb, key, ${list("fields")}) AS full_key FROM ${uniques}
    ORDER BY kind, full_key
    ON CONFLICT (kind, key) DO UPDATE SET job = held.job WHERE false`
  const uniqueStatement = `
    SELECT made.* FROM ${uniques} CROSS JOIN LATERAL ${schema}.enqueue_unique(kind, queue, priority, payload, details,
      deadline, run_at, run_in, key, ${list("fields")}, ${list("places")}, period, on_conflict) AS made
    ORDER BY ord`

  const uniqueOne = Effect.fnUntraced(function* (jobs: ReadonlyArray<NewJob & { readonly unique: Uniqueness }>) {
    const uniqueness = jobs.map(({ unique }) => unique)
    const parameters = [
      ...columns(jobs.map(written)),
      texts(uniqueness.map(keyOf)),
      jsons(uniqueness.map(fieldsOf)),
      jsons(uniqueness.map(({ places }) => places)),
      int8s(uniqueness.map(({ period }) => milliseconds(period))),
      texts(uniqueness.map(({ onConflict }) => onConflict))
    ]
    if (jobs.length > 1) yield* sql.unsafe(lockKeys, parameters)
    const rows = yield* sql.unsafe<UniqueRow>(uniqueStatement, parameters)
    return rows.map((row): Enqueued => ({
      id: makeId(Math.abs(row.home), row.number),
      outcome: row.outcome,
      former: row.former === null ? Option.none() : Option.some(makeId(Math.abs(row.former_home!), row.former))
    }))
  })

  const answer: Pick<Store["Service"], Enqueueing> = {
    enqueue: Effect.fnUntraced(function* (jobs) {
      if (jobs.length === 0) return []
      const all = jobs.map(written)
      return all.length === 1 && (yield* alone(sql)) ? [yield* writeTogether(all[0]!)] : yield* write(all)
    }),
    enqueueUnique: (jobs) => {
      if (jobs.length === 0) return Effect.succeed([])
      return jobs.length === 1 ? uniqueOne(jobs) : sql.withTransaction(uniqueOne(jobs))
    },
    atomically: (effect) => sql.withTransaction(effect),
    afterCommit: (effect) => sql.afterCommit(effect)
  }
  return answer
})
