/** The moves of many jobs at once: each locks what it moves, in order, and skips what others are moving. */
import type { PgClient } from "@effect/sql-pg/PgClient"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { Overdue, Store, WorkerId } from "../Store.ts"
import { takingApart } from "./apart.ts"
import { DueMark } from "./DueMark.ts"
import { type Part, summed } from "./moved.ts"
import { pointers } from "./pointers.ts"
import { allowing, underTerm } from "./term.ts"

/** Not a part: in how many microseconds what is due was found, and how many bytes the index has. */
interface Walked {
  readonly place: "walked"
  readonly jobs: number
  readonly queue: string
}

const ages = 3e12 // milliseconds: earlier than anything was due

type Passes = "promote" | "expireWaits" | "watch" | "overdue"

export const passing = (
  sql: PgClient,
  schema: string,
  setAside: Store["Service"]["setAside"]
): Pick<Store["Service"], Passes> => {
  const takeApart = takingApart(sql, setAside)
  const rowsUnderTerm = underTerm(sql)
  const partsUnderTerm = (statement: string, parameters: ReadonlyArray<unknown>) =>
    Effect.map(rowsUnderTerm<Part>(statement, parameters), summed)
  const allowed = allowing(schema)

  const { ticketColumns, ticketOf } = pointers(schema)

  // Not clock_timestamp(): the index can be searched by a time that stands still during the statement.
  const due = `FROM ${schema}.timed WHERE run_at <= statement_timestamp() ORDER BY run_at, job LIMIT 1 FOR UPDATE SKIP LOCKED`
  const promote = `
    WITH due AS MATERIALIZED (
      SELECT job FROM ${schema}.timed
      WHERE run_at <= statement_timestamp() AND run_at > statement_timestamp() - coalesce($2::float8, ${ages}) * interval '1 ms'
      ORDER BY run_at, job LIMIT $1 FOR UPDATE SKIP LOCKED
    ), ${allowed("$3", "due")}, gone AS (
      DELETE FROM ${schema}.timed USING due, allowed WHERE timed.job = due.job RETURNING timed.*
    ), ready AS (
      INSERT INTO ${schema}.ticket (${ticketColumns})
      SELECT ${ticketOf("attempt")} FROM (SELECT * FROM gone ORDER BY run_at, job) gone
    )
    SELECT 'ready' AS place, queue, count(*)::int AS jobs FROM gone GROUP BY queue
    UNION ALL
    SELECT 'walked', pg_relation_size('${schema}.timed_due')::text, (extract(epoch FROM clock_timestamp() - statement_timestamp()) * 1e6)::int FROM (SELECT count(*) FROM due) AS read`

  const mark = new DueMark()
  const promoteSome = Effect.fnUntraced(function* (limit: number) {
    const now = yield* Clock.currentTimeMillis
    const lookBack = mark.lookBack(now)
    const rows = yield* rowsUnderTerm<Part | Walked>(promote, [limit, lookBack])
    const isWalked = (row: Part | Walked): row is Walked => row.place === "walked"
    const moved = summed(rows.filter((row): row is Part => !isWalked(row)))
    const { jobs: micros, queue: bytes } = rows.find(isWalked)!
    mark.ran(now, lookBack, { micros, bytes: Number(bytes), moved: moved.ready, limit })
    return moved
  })

  // The two times are read after the wait for the other looker's row, and a beat that comes meanwhile is seen. A time to
  // come is of a clock that has been set back since, or another server's: it would keep its worker alive until then.
  const watch = `
    WITH looked AS (
      UPDATE ${schema}.watch SET looked_at = clock_timestamp(),
        since = CASE WHEN clock_timestamp() - looked_at BETWEEN '0' AND $1 * interval '0.5 ms' THEN since ELSE clock_timestamp() END
      WHERE $2::bigint IS NULL OR EXISTS (SELECT FROM ${schema}.leader WHERE term = $2 FOR KEY SHARE)
      RETURNING since
    ), declared AS (
      UPDATE ${schema}.worker SET declared_dead_at = clock_timestamp() FROM looked
      WHERE declared_dead_at IS NULL AND clock_timestamp() - greatest(CASE WHEN beat_at <= clock_timestamp() THEN beat_at END, since) > $1 * interval '1 ms'
      RETURNING id, name, beat_at
    ), dead AS (
      SELECT * FROM declared UNION ALL
      SELECT id, name, beat_at FROM ${schema}.worker CROSS JOIN looked WHERE declared_dead_at IS NOT NULL
      -- A claim that was on its way when its worker was forgotten: nobody will beat for it.
      UNION ALL
      SELECT lease.worker, 'forgotten', min(lease.claimed_at) FROM ${schema}.lease CROSS JOIN looked
      WHERE NOT EXISTS (SELECT FROM ${schema}.worker WHERE worker.id = lease.worker) GROUP BY lease.worker
    )
    SELECT id, name, greatest(extract(epoch FROM clock_timestamp() - beat_at), 0)::float8 * 1000 AS age FROM dead
    WHERE EXISTS (SELECT FROM ${schema}.lease WHERE lease.worker = dead.id) ORDER BY id`

  const oldest = (table: string, column: string, since = "") =>
    `coalesce((SELECT extract(epoch FROM clock_timestamp() - min(${column})) * 1000 FROM ${schema}.${table}
      WHERE ${column} < statement_timestamp()${since}), 0)::float8`
  const lookedBack = `statement_timestamp() - coalesce($1::float8, ${ages}) * interval '1 ms'`
  const overdue = `
    SELECT coalesce((SELECT extract(epoch FROM clock_timestamp() - min(greatest(beat_at, since))) * 1000
        FROM ${schema}.worker CROSS JOIN ${schema}.watch
        WHERE EXISTS (SELECT FROM ${schema}.lease WHERE lease.worker = worker.id)), 0)::float8 AS silent,
      coalesce((SELECT extract(epoch FROM clock_timestamp() - min(at)) * 1000
        FROM ${schema}.outbox WHERE position IS NULL), 0)::float8 AS untold,
      ${oldest("timed", "run_at", ` AND run_at > ${lookedBack}`)} AS scheduled, ${oldest("lease", "deadline_at")} AS deadline,
      ${oldest("wait", "expires_at")} AS waiting, pg_relation_size('${schema}.timed_due')::float8 AS bytes,
      (extract(epoch FROM clock_timestamp() - statement_timestamp()) * 1e6)::float8 AS micros`

  // As promote does, it begins where nothing was due any more: what was promoted lies before.
  const overdueMark = new DueMark()
  const readOverdue = Effect.gen(function* () {
    const now = yield* Clock.currentTimeMillis
    const lookBack = overdueMark.lookBack(now)
    const [row] = yield* sql.unsafe<
      Readonly<Record<keyof Overdue, number>> & { readonly bytes: number; readonly micros: number }
    >(overdue, [lookBack])
    const { bytes, micros, ...found } = row!
    overdueMark.ran(now, lookBack, { bytes, micros, moved: 0, limit: found.scheduled > 0 ? 0 : 1 })
    return found
  })

  // The dead are buried when their last end is written: `ends` is read to its end before `bury` is called.
  const expired = `FROM ${schema}.wait WHERE expires_at <= statement_timestamp() ORDER BY expires_at, job LIMIT 1 FOR UPDATE SKIP LOCKED`
  const expireWaits = `
    WITH due AS MATERIALIZED (
      SELECT job FROM ${schema}.wait WHERE expires_at <= statement_timestamp()
      ORDER BY expires_at, job LIMIT $1 FOR UPDATE SKIP LOCKED
    ), ${allowed("$2", "due")}, gone AS (
      DELETE FROM ${schema}.wait USING due, allowed WHERE wait.job = due.job
      RETURNING wait.*, CASE on_expiry WHEN 'die' THEN 'dead' WHEN 'cancel' THEN 'cancelled' ELSE 'ready' END AS place,
        CASE WHEN on_expiry <> 'retry' THEN 'nobody ended the wait in time' END AS because
    ), ends AS (
      INSERT INTO ${schema}.attempt_end (job, attempt, slot, state, final, queue, priority, reason)
      SELECT job, attempt + 1, slot, 'expired', nullif(place, 'ready'), queue, priority, because FROM gone
      RETURNING job
    ), ready AS (
      INSERT INTO ${schema}.ticket (${ticketColumns})
      SELECT ${ticketOf("attempt + 1")} FROM (SELECT * FROM gone WHERE place = 'ready' ORDER BY expires_at, job) gone
    ), died AS MATERIALIZED (
      SELECT array_agg((gone.job, attempt + 1, failures, crashes, deadline_ms, slot, priority, queue, kind, because)::${schema}.pointer) AS pointers
      FROM gone JOIN ends ON ends.job = gone.job WHERE place = 'dead'
    ), buried AS MATERIALIZED (
      SELECT ${schema}.bury(pointers) FROM died WHERE pointers IS NOT NULL
    )
    SELECT place, queue, count(*)::int AS jobs FROM gone CROSS JOIN (SELECT count(*) FROM buried) done
    GROUP BY place, queue`

  return {
    promote: ({ limit }) => takeApart({ move: promoteSome, first: `SELECT job, slot ${due}` }, limit),
    watch: ({ staleAfter }) =>
      Effect.map(
        rowsUnderTerm<{ readonly id: WorkerId; readonly name: string; readonly age: number }>(watch, [
          Duration.toMillis(staleAfter)
        ]),
        (rows) => rows.map(({ age, id, name }) => ({ id, name, beatAge: Duration.millis(age) }))
      ),
    overdue: Effect.map(readOverdue, (found) => ({
      silent: Duration.millis(found.silent),
      scheduled: Duration.millis(found.scheduled),
      deadline: Duration.millis(found.deadline),
      waiting: Duration.millis(found.waiting),
      untold: Duration.millis(found.untold)
    })),
    expireWaits: ({ limit }) =>
      takeApart({ move: (limit) => partsUnderTerm(expireWaits, [limit]), first: `SELECT job, slot ${expired}` }, limit)
  }
}
