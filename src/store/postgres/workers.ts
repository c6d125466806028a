import type { PgClient } from "@effect/sql-pg/PgClient"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { makeId } from "../../domain/Job.ts"
import type { LeaseId, Store, WorkerId } from "../Store.ts"
import type { OpenLeases } from "./OpenLeases.ts"
import { alone, lazily } from "./lazily.ts"
import { int8s, texts } from "./parameters.ts"

type Workers =
  | "register"
  | "beat"
  | "begin"
  | "workers"
  | "declareDead"
  | "forget"
  | "pause"
  | "unpause"
  | "pausedQueues"
  | "unhandled"

const any = (rows: ReadonlyArray<unknown>) => rows.length > 0

export const workersAndQueues = (sql: PgClient, schema: string, open: OpenLeases): Pick<Store["Service"], Workers> => {
  const beatStatement = `
    WITH beat AS (
      UPDATE ${schema}.worker SET beat_at = clock_timestamp(), beats = beats + 1
      WHERE id = $1 AND declared_dead_at IS NULL AND ${lazily("$2")} RETURNING id
    )
    SELECT lease.id, lease.slot, ARRAY(
      SELECT key::bigint FROM jsonb_object_keys(cancelling) AS key
      WHERE isempty(${schema}.ended(int8multirange(int8range(key::bigint, key::bigint, '[]')), lease.attempt, lease.slot))
    ) AS cancelling
    FROM beat LEFT JOIN ${schema}.lease ON lease.worker = beat.id
    ORDER BY lease.id`

  // Leases first, in order: a release takes them so, too.
  const beginStatement = `
    WITH held AS MATERIALIZED (
      SELECT id FROM ${schema}.lease
      WHERE worker = $1 AND id = ANY ($2) AND EXISTS (SELECT FROM ${schema}.worker WHERE id = $1 AND declared_dead_at IS NULL)
        AND ${lazily("$3")}
      ORDER BY id FOR UPDATE
    )
    UPDATE ${schema}.lease SET begun = true,
      deadline_at = CASE WHEN begun THEN deadline_at ELSE clock_timestamp() + deadline_ms * interval '1 ms' END
    FROM held WHERE lease.id = held.id RETURNING lease.id`

  return {
    begin: Effect.fnUntraced(function* (worker, leases) {
      if (leases.length === 0) return []
      const rows = yield* sql.unsafe<{ readonly id: LeaseId }>(beginStatement, [
        worker,
        int8s(leases),
        yield* alone(sql)
      ])
      return rows.map(({ id }) => id).toSorted((a, b) => Number(a - b))
    }),
    register: (name, serves, about) =>
      Effect.map(
        sql.unsafe<{ readonly id: WorkerId }>(
          `INSERT INTO ${schema}.worker (name, kinds, queues, role, holder, version, lanes)
           VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING id`,
          [
            name,
            serves === undefined ? null : texts(serves.kinds),
            serves === undefined ? null : texts(serves.queues),
            about?.role ?? "worker",
            about?.holder ?? null,
            about?.version ?? null,
            texts(about?.lanes ?? [])
          ]
        ),
        ([row]) => row!.id
      ),
    beat: Effect.fnUntraced(function* (worker) {
      const rows = yield* sql.unsafe<{
        readonly id: LeaseId | null
        readonly slot: number
        readonly cancelling: ReadonlyArray<bigint>
      }>(beatStatement, [worker, yield* alone(sql)])
      const leases = rows.flatMap(({ id }) => (id === null ? [] : [id]))
      open.known(leases)
      return {
        alive: rows.length > 0,
        leases,
        cancelling: rows
          .flatMap(({ cancelling, slot }) => cancelling.map((job) => ({ slot, job })))
          .toSorted((a, b) => Number(a.job - b.job))
          .map(({ job, slot }) => makeId(Math.abs(slot), job))
      }
    }),
    workers: Effect.map(
      sql.unsafe<{
        readonly id: WorkerId
        readonly name: string
        readonly kinds: ReadonlyArray<string> | null
        readonly queues: ReadonlyArray<string> | null
        readonly beats: number
        readonly declaredDead: boolean
        readonly age: number
      }>(
        `SELECT id, name, kinds, queues, beats::int, declared_dead_at IS NOT NULL AS "declaredDead",
           extract(epoch FROM clock_timestamp() - beat_at)::float8 * 1000 AS age
         FROM ${schema}.worker WHERE role = 'worker' ORDER BY id`
      ),
      (rows) =>
        rows.map(({ age, kinds, queues, ...row }) => ({
          ...row,
          serves: kinds === null || queues === null ? Option.none() : Option.some({ kinds, queues }),
          beatAge: Duration.millis(age)
        }))
    ),
    declareDead: (worker, beats) =>
      Effect.map(
        sql.unsafe(
          `UPDATE ${schema}.worker SET declared_dead_at = clock_timestamp()
           WHERE id = $1 AND beats = $2 AND declared_dead_at IS NULL RETURNING id`,
          [worker, beats]
        ),
        any
      ),
    forget: (worker) =>
      Effect.map(
        sql.unsafe(
          `DELETE FROM ${schema}.worker WHERE id = $1
           AND NOT EXISTS (SELECT FROM ${schema}.lease WHERE lease.worker = $1) RETURNING id`,
          [worker]
        ),
        any
      ),
    unhandled: ({ kinds, queues }) =>
      sql.unsafe<{ readonly kind: string; readonly queue: string }>(
        `SELECT kind, queue FROM ${schema}.unhandled($1, $2) ORDER BY queue COLLATE "C", kind COLLATE "C"`,
        [texts(kinds), texts(queues)]
      ),
    pause: (queue) =>
      Effect.asVoid(
        sql.unsafe(
          `INSERT INTO ${schema}.queue (name, paused_at) VALUES ($1, clock_timestamp())
           ON CONFLICT (name) DO UPDATE SET paused_at = coalesce(queue.paused_at, excluded.paused_at)`,
          [queue]
        )
      ),
    unpause: (queue) =>
      Effect.asVoid(sql.unsafe(`UPDATE ${schema}.queue SET paused_at = NULL WHERE name = $1`, [queue])),
    pausedQueues: Effect.map(
      sql.unsafe<{ readonly name: string }>(
        `SELECT name FROM ${schema}.queue WHERE paused_at IS NOT NULL ORDER BY name`
      ),
      (rows) => rows.map(({ name }) => name)
    )
  }
}
