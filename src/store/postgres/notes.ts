/**
 * What attempts leave for the ones after them. Only the lease that runs an attempt may write; a step's result is written
 * once, so that of two attempts that overlap one keeps what it did and the other undoes it.
 */
import type { PgClient } from "@effect/sql-pg/PgClient"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import type { NoteName } from "../../domain/Note.ts"
import { numberOf } from "../../domain/Job.ts"
import type { NewNote, Store } from "../Store.ts"
import { int4s, int8s, jsons, texts } from "./parameters.ts"

type Notes = "remember" | "note" | "recall"

interface Row {
  readonly name: NoteName
  readonly attempt: number
  readonly at: Date
  readonly value: unknown
}

export const noting = (sql: PgClient, schema: string): Pick<Store["Service"], Notes> => {
  const insert = (conflict: string) => `
    INSERT INTO ${schema}.note (job, slot, attempt, name, value)
    SELECT said.job, lease.slot, said.attempt, said.name, said.value
    FROM unnest($2::bigint[], $3::bigint[], $4::int[], $5::text[], $6::jsonb[]) AS said (lease, job, attempt, name, value)
    JOIN ${schema}.lease ON lease.id = said.lease AND lease.worker = $1 AND lease.attempt = said.attempt AND lease.jobs @> said.job
    ORDER BY said.job, said.name
    ON CONFLICT (job, name) DO ${conflict}
    RETURNING job`
  const rememberStatement = insert("NOTHING")
  const noteStatement = insert(
    `UPDATE SET value = excluded.value, attempt = excluded.attempt, noted_at = clock_timestamp()
     WHERE note.attempt <= excluded.attempt`
  )
  const parameters = (notes: ReadonlyArray<NewNote>) => [
    int8s(notes.map(({ lease }) => lease)),
    int8s(notes.map(({ id }) => numberOf(id))),
    int4s(notes.map(({ attempt }) => attempt)),
    texts(notes.map(({ name }) => name)),
    jsons(notes.map(({ value }) => value))
  ]

  return {
    remember: (worker, note) =>
      Effect.map(sql.unsafe(rememberStatement, [worker, ...parameters([note])]), (rows) => rows.length > 0),
    note: (worker, notes) =>
      notes.length === 0 ? Effect.void : Effect.asVoid(sql.unsafe(noteStatement, [worker, ...parameters(notes)])),
    recall: (id) =>
      Effect.map(
        sql.unsafe<Row>(
          `SELECT name, attempt, noted_at AS at, value FROM ${schema}.note WHERE job = $1 ORDER BY noted_at, name`,
          [numberOf(id)]
        ),
        (rows) => rows.map(({ at, ...row }) => ({ ...row, at: DateTime.fromDateUnsafe(at) }))
      )
  }
}
