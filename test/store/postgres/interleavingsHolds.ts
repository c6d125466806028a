/**
 * Puts places to stop into a database under test, wherever another session can come between: before every statement of
 * a PL/pgSQL function (each takes a new snapshot), inside a statement that has its snapshot and consumes by it, before
 * each end row, and before a commit. Only there: the functions are written again with calls between their statements,
 * the tables get triggers, and nothing of it is known to the code under test.
 *
 * A session that says `hold.side` stops where one of its `hold.tables` is touched, at an advisory lock of the number of
 * stops it has come to. Whoever holds these locks lets it go, stop by stop.
 */
import type { PgClient } from "@effect/sql-pg/PgClient"
import * as Effect from "effect/Effect"

export type Table =
  | "job"
  | "attempt_end"
  | "ticket"
  | "timed"
  | "wait"
  | "dead"
  | "lease"
  | "worker"
  | "queue"
  | "unique_key"

/** `row`: before each end row, and not only before the statement that writes them. Everybody stops before a commit. */
export type Held = Table | "row"

const tables: ReadonlyArray<Table> = [
  "job",
  "attempt_end",
  "ticket",
  "timed",
  "wait",
  "dead",
  "lease",
  "worker",
  "queue",
  "unique_key"
]

const stops = [
  `CREATE SCHEMA hold`,
  ...[1, 2, 3].map((side) => `CREATE SEQUENCE hold.stops_${side}`),
  // Whoever does not wait long for a lock stands here as long as it takes.
  `CREATE FUNCTION hold.stop(label text, touched text[]) RETURNS boolean LANGUAGE plpgsql SET lock_timeout = 0 AS $$
DECLARE
  side int := nullif(current_setting('hold.side', true), '');
  stop int;
BEGIN
  IF side IS NULL OR NOT touched && string_to_array(current_setting('hold.tables'), ' ') THEN RETURN true; END IF;
  -- A sequence goes on counting when a part of the transaction is rolled back.
  stop := nextval('hold.stops_' || side);
  PERFORM set_config('application_name', left(label, 63), false);
  PERFORM pg_advisory_lock_shared(side, stop);
  PERFORM pg_advisory_unlock_shared(side, stop);
  RETURN true;
END
$$`,
  `CREATE FUNCTION hold.in_statement() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  stack text;
BEGIN
  GET DIAGNOSTICS stack = PG_CONTEXT;
  IF stack NOT LIKE '%function lanekeeper.%' THEN
    PERFORM hold.stop('in ' || lower(TG_OP) || ' ' || TG_TABLE_NAME, ARRAY[regexp_replace(TG_TABLE_NAME, '_[0-9]+$', '')]);
  END IF;
  RETURN NULL;
END
$$`,
  `CREATE FUNCTION hold.before_row() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM hold.stop('before the end of ' || NEW.job, '{row}');
  RETURN NEW;
END
$$`,
  `CREATE FUNCTION hold.before_commit() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF coalesce(current_setting('hold.committing', true), '') = '' THEN
    PERFORM set_config('hold.committing', 'yes', true), hold.stop('before commit', '{commit}');
  END IF;
  RETURN NULL;
END
$$`,
  `CREATE TRIGGER before_row BEFORE INSERT ON lanekeeper.attempt_end FOR EACH ROW EXECUTE FUNCTION hold.before_row()`,
  ...[...tables, "job_0", "attempt_end_0"].map(
    (table) => `CREATE TRIGGER in_statement BEFORE UPDATE OR DELETE ON lanekeeper.${table}
FOR EACH STATEMENT EXECUTE FUNCTION hold.in_statement()`
  ),
  ...tables.map(
    (table) => `CREATE CONSTRAINT TRIGGER before_commit AFTER INSERT OR UPDATE OR DELETE ON lanekeeper.${table}
DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION hold.before_commit()`
  )
]

/** A function's text with a stop before every statement that touches a table. Statements end with their line. */
const stopping = (name: string, text: string) => {
  const [head, body] = text.split("\nBEGIN\n") as [string, string]
  const statements = body.split(/(?<=;)\n/).map((statement) => {
    const touched: Array<Held> = tables.filter((table) =>
      new RegExp(`lanekeeper"?\\.${table}(_%\\w+|_\\d+)?(?![\\w[])`).test(statement)
    )
    // A choice between slots or shelves has stopped before it chose.
    if (touched.length === 0 || /^\s*WHEN \d+ THEN\n/.test(statement)) return statement
    const lines = statement.split("\n")
    const first = lines.findIndex((line) => /^ *\w/.test(line) && !/(^ *ELSE|LOOP|THEN)$/.test(line))
    const label = lines
      .slice(first)
      .join(" ")
      .replaceAll(/["']|lanekeeper"?\./g, "")
      .replaceAll(/ +/g, " ")
    const stop = `ASSERT hold.stop('before ${name}:${label}', '{${touched.join(", ")}}');`
    return [...lines.slice(0, first), stop, ...lines.slice(first)].join("\n")
  })
  return `${head}\nBEGIN\n${statements.join("\n")}`
}

/** For who lets them go. The one slot that is in use is read, and emptied between two orders, without the rest of the ring. */
const looks = (slot: number) => [
  `CREATE FUNCTION hold.waiting(pids int[], others int[]) RETURNS TABLE (pid int, label text) LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
  FOR look IN 1 .. 300 LOOP
    EXIT WHEN NOT EXISTS (SELECT FROM unnest(pids) AS side WHERE pg_blocking_pids(side) = '{}');
    CONTINUE WHEN look % 15 <> 0;
    PERFORM pg_stat_clear_snapshot();
    EXIT WHEN EXISTS (SELECT FROM unnest(pids) AS side WHERE (SELECT state FROM pg_stat_get_activity(side)) <> 'active');
  END LOOP;
  PERFORM pg_stat_clear_snapshot();
  RETURN QUERY SELECT side,
    CASE WHEN pg_backend_pid() = ANY (blocking) THEN (SELECT application_name FROM pg_stat_get_activity(side)) END
  FROM (SELECT side, pg_blocking_pids(side) AS blocking FROM unnest(pids) AS side OFFSET 0) AS looked
    -- Whoever waits for somebody else, a vacuum for instance, will go on by itself.
  WHERE blocking && (others || pg_backend_pid());
END
$$`,
  ...["job", "attempt_end"].map(
    (table) =>
      `CREATE VIEW hold.${table} AS SELECT * FROM lanekeeper.${table}_0 UNION ALL SELECT * FROM lanekeeper.${table}_${slot}`
  ),
  `CREATE FUNCTION hold.empty() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
${["job_0", `job_${slot}`, "attempt_end_0", `attempt_end_${slot}`, ...tables.slice(2)]
  .map((table) => `  DELETE FROM lanekeeper.${table};`)
  .join("\n")}
END
$$`
]

export const layHolds = Effect.fnUntraced(function* (sql: PgClient) {
  // No order meets the end of a slot or a shelf by accident.
  yield* sql`UPDATE lanekeeper.ring SET period = '10000 days', shelf_period = '10000 days', retention = '1 day'`
  const [ring] = yield* sql<{ slot: number }>`
    SELECT 1 + floor(extract(epoch FROM clock_timestamp()) / extract(epoch FROM period))::int % slots AS slot FROM lanekeeper.ring`
  for (const statement of [...stops, ...looks(ring!.slot)]) yield* sql.unsafe(statement)
  const functions = yield* sql<{ name: string; text: string }>`
    SELECT proname AS name, pg_get_functiondef(oid) AS text FROM pg_proc
    WHERE pronamespace = 'lanekeeper'::regnamespace AND proname IN ('claim', 'end_attempts', 'take', 'bury', 'enqueue_many', 'enqueue_unique', 'rewrite')`
  for (const { name, text } of functions) yield* sql.unsafe(stopping(name, text))
  // To compile or to share what runs for a moment would take longer than all the rest.
  yield* sql`DO $$ BEGIN
    EXECUTE format('ALTER DATABASE %I SET jit = off', current_database());
    EXECUTE format('ALTER DATABASE %I SET max_parallel_workers_per_gather = 0', current_database());
  END $$`
})
