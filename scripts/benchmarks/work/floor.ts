/**
 * The least that a queue in PostgreSQL can be: one table, a claim by `SKIP LOCKED`, a batch of updates to `done`, through
 * the same client, with the same decoding and a fiber for each job. No fence, no retry, no heartbeat, nothing else.
 */
import { PgClient } from "@effect/sql-pg/PgClient"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import * as Schema from "effect/Schema"
import { texts } from "../../../src/store/postgres/parameters.ts"
import { type Contender, Payload, payload, queue } from "./Contender.ts"

const chunk = 5_000

const insert = `INSERT INTO floor (kind, queue, payload) SELECT 'note', '${queue}', payload::jsonb FROM unnest($1::text[]) AS payload`

const insertAndTell = `WITH told AS MATERIALIZED (SELECT pg_notify('floor', '')) INSERT INTO floor (kind, queue, payload) SELECT 'note', '${queue}', $1::jsonb FROM told`

const claim = `UPDATE floor SET state = 'running', attempt = attempt + 1, started_at = clock_timestamp()
  WHERE id = ANY (ARRAY(
    SELECT id FROM floor WHERE state = 'ready' AND queue = '${queue}' ORDER BY priority, id LIMIT $1 FOR UPDATE SKIP LOCKED
  )) RETURNING id, payload`

const finish = `UPDATE floor SET state = 'done', ended_at = clock_timestamp() WHERE id = ANY ($1::bigint[]) AND state = 'running'`

const decode = Schema.decodeUnknownEffect(Payload)

export const floor: Contender = {
  name: "SKIP LOCKED on a plain table",
  prepare: Effect.gen(function* () {
    const sql = yield* PgClient
    yield* sql`CREATE TABLE floor (
      id bigserial PRIMARY KEY, kind text NOT NULL, queue text NOT NULL, priority smallint NOT NULL DEFAULT 5,
      state text NOT NULL DEFAULT 'ready', attempt int NOT NULL DEFAULT 0, payload jsonb NOT NULL,
      enqueued_at timestamptz NOT NULL DEFAULT now(), started_at timestamptz, ended_at timestamptz)`
    yield* sql`CREATE INDEX ON floor (queue, priority, id) WHERE state = 'ready'`
  }),
  produce: Effect.map(PgClient, (sql) => ({
    stock: Effect.fnUntraced(function* (jobs) {
      for (let from = 0; from < jobs; from += chunk) {
        const some = Array.from({ length: Math.min(chunk, jobs - from) }, (_, n) => JSON.stringify(payload(from + n)))
        yield* sql.unsafe(insert, [texts(some)])
      }
    }),
    go: Effect.asVoid(sql`SELECT pg_notify('floor', '')`),
    one: (n) => Effect.asVoid(sql.unsafe(insertAndTell, [JSON.stringify(payload(n))])),
    ends: Effect.map(
      sql<{ readonly ended: number; readonly left: number }>`
        SELECT count(*) FILTER (WHERE state = 'done' AND attempt = 1)::int AS ended,
          count(*) FILTER (WHERE state <> 'done')::int AS left FROM floor`,
      ([row]) => ({ ...row!, jobs: row!.ended })
    )
  })),
  work: Effect.fnUntraced(function* ({ concurrency, ran }) {
    const sql = yield* PgClient
    const told = yield* sql.listen("floor")
    const round = Effect.gen(function* () {
      const rows = yield* sql.unsafe<{ readonly id: bigint; readonly payload: unknown }>(claim, [concurrency])
      if (rows.length === 0) return false
      yield* Effect.forEach(rows, (row) => Effect.flatMap(decode(row.payload), ({ n }) => Effect.sync(() => ran(n))), {
        concurrency: "unbounded",
        discard: true
      })
      yield* sql.unsafe(finish, [rows.map(({ id }) => id)])
      return true
    })
    return yield* Effect.repeat(round, { until: (some) => !some }).pipe(
      Effect.andThen(Queue.takeAll(told)),
      Effect.forever
    )
  })
}
