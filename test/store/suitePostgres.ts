/** A store on a database of one suite, where time passes by ageing the rows. */
import { PgClient } from "@effect/sql-pg/PgClient"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { layerPostgres } from "../../src/store/postgres/index.ts"
import { Store } from "../../src/store/Store.ts"
import { TestDatabase } from "../support/TestDatabase.ts"

export const layerSuite = layerPostgres().pipe(Layer.provideMerge(TestDatabase.layer))

export const elapse = Effect.fnUntraced(function* (time: Duration.Input) {
  const sql = yield* PgClient
  yield* sql`
    WITH passed AS (SELECT ${Duration.toMillis(time)} * interval '1 ms' AS time),
    timed AS (UPDATE lanekeeper.timed SET run_at = run_at - time FROM passed),
    keys AS (UPDATE lanekeeper.unique_key SET enqueued_at = enqueued_at - time, until = until - time FROM passed),
    waits AS (UPDATE lanekeeper.wait SET expires_at = expires_at - time FROM passed),
    workers AS (
      UPDATE lanekeeper.worker SET beat_at = beat_at - time, declared_dead_at = declared_dead_at - time FROM passed
    ),
    dead AS (UPDATE lanekeeper.dead SET died_at = died_at - time FROM passed),
    tickets AS (UPDATE lanekeeper.ticket SET ready_at = ready_at - time FROM passed),
    counts AS (UPDATE lanekeeper.stats SET taken_at = taken_at - time FROM passed),
    looks AS (UPDATE lanekeeper.look SET again_at = again_at - time FROM passed),
    watch AS (UPDATE lanekeeper.watch SET since = since - time, looked_at = looked_at - time FROM passed),
    leader AS (UPDATE lanekeeper.leader SET since = since - time, expires_at = expires_at - time FROM passed),
    sink AS (UPDATE lanekeeper.outbox_sink SET seen_at = seen_at - time FROM passed),
    events AS (UPDATE lanekeeper.outbox SET at = at - time, taken_at = taken_at - time FROM passed),
    notes AS (UPDATE lanekeeper.note SET noted_at = noted_at - time FROM passed),
    runs AS (UPDATE lanekeeper.lane_run SET started_at = started_at - time FROM passed)
    UPDATE lanekeeper.lease SET deadline_at = deadline_at - time FROM passed
  `
})

/** Empties the store: cheaper than a database for every test. */
export const empty = Effect.gen(function* () {
  const sql = yield* PgClient
  for (const table of [
    "job",
    "attempt_end",
    "ticket",
    "timed",
    "lease",
    "wait",
    "dead",
    "worker",
    "queue",
    "unique_key",
    "outbox",
    "note",
    "lane_run",
    "look",
    "stats"
  ]) {
    yield* sql.unsafe(`DELETE FROM lanekeeper.${table}`)
  }
  yield* sql`UPDATE lanekeeper.watch SET since = 'epoch', looked_at = 'epoch'`
  yield* sql`UPDATE lanekeeper.outbox_mark SET last = 0`
  yield* sql`UPDATE lanekeeper.outbox_sink SET seen_at = 'epoch'`
  yield* sql`UPDATE lanekeeper.leader SET holder = NULL, since = NULL, expires_at = NULL`
  return yield* Store
})
