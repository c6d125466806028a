/**
 * What the ceiling benchmark drives: procedures that claim a batch and finish it, in two transactions, over and over.
 * They run in the server, so that no client is measured; what is claimed is read and counted there.
 */
import { endAttempts } from "../../src/store/postgres/migrations/jobs/endAttempts.ts"
import { SchemaName } from "../../src/store/postgres/SchemaName.ts"

export interface Contender {
  readonly name: string
  readonly tables: ReadonlyArray<string>
  /** Of the jobs a second that none reaches, how many this one may: it is filled with as many. */
  readonly share: number
  /** Leaves nothing but `$1` ready jobs of 200 bytes. */
  readonly fill: string
  /** The indexes in which a claim looks for what is next. */
  readonly searched: string
  /** By `$1`, until `$2` milliseconds are over or `$3` jobs are done; then jobs, claims, seconds and what is remembered. */
  readonly drive: string
  /** What a connection does besides, every ten seconds. */
  readonly seldom?: string
  /** Consumes the first `$1` jobs, for whom a claim by claim would take hours under a pinned snapshot. */
  readonly bury?: string
  /** Enqueues `$1` jobs in one call. */
  readonly enqueue: string
}

/** Where the contenders with tickets live, each in a schema of its own. */
export const schemas = ["tickets", "singles"].map((name) => SchemaName.make(name))

const payload = `jsonb_build_object('body', repeat('x', 186))`

const signature =
  "(batch int, ms int, most int, INOUT jobs int, INOUT claims int, INOUT seconds float8, INOUT memory float8[])"

/** `first` is what comes before a claim in its transaction. */
const drivePlain = (name: string, first = "") => `
CREATE PROCEDURE bench.${name}${signature} LANGUAGE plpgsql AS $$
DECLARE
  began timestamptz := clock_timestamp();
  until timestamptz := began + ms * interval '1 ms';
  ids bigint[];
  n int;
BEGIN
  WHILE jobs < most AND clock_timestamp() < until LOOP
    ${first}
    WITH claimed AS (
      UPDATE bench.plain SET state = 'running', attempt = attempt + 1, worker = 1, started_at = clock_timestamp()
      WHERE id = ANY (ARRAY(
        SELECT id FROM bench.plain WHERE state = 'ready' AND queue = 'post' AND kind = ANY ('{mail}')
        ORDER BY priority, id LIMIT batch FOR UPDATE SKIP LOCKED
      ))
      RETURNING id, payload
    )
    SELECT array_agg(id), count(payload) INTO ids, n FROM claimed;
    COMMIT;
    claims := claims + 1;
    CONTINUE WHEN n = 0;
    UPDATE bench.plain SET state = 'completed', ended_at = clock_timestamp()
    WHERE id = ANY (ids) AND state = 'running' AND worker = 1;
    COMMIT;
    jobs := jobs + n;
  END LOOP;
  seconds := extract(epoch FROM clock_timestamp() - began);
END
$$`

/**
 * Marks are kept as Turns keeps them, for the one turn there is, whose tickets were all drawn long ago: cost, last cost,
 * walked at, mark, settled, and what is settled next: the mark, and the transaction until which all must be over. Last
 * comes when the procedure ended: its clock stands still while others have their turn. Whole walks are for
 * whoever calls it.
 */
const driveTickets = (schema: string, name: string, end: string) => `
CREATE PROCEDURE bench.${name}${signature} LANGUAGE plpgsql AS $$
DECLARE
  began timestamptz := clock_timestamp();
  until timestamptz := began + ms * interval '1 ms';
  me bigint := (SELECT max(id) FROM ${schema}.worker);
  leases bigint[];
  ids bigint[];
  attempts int[];
  n int;
  now float8 := extract(epoch FROM began);
  micros bigint;
  seen bigint;
  known boolean;
  sent bigint;
  xmin float8;
  xmax float8;
BEGIN
  memory[3] := memory[3] + now - memory[8];
  WHILE jobs < most AND clock_timestamp() < until LOOP
    known := memory[1] >= 250;
    SELECT array_agg(lease) FILTER (WHERE job IS NOT NULL), array_agg(job) FILTER (WHERE job IS NOT NULL),
      array_agg(1) FILTER (WHERE job IS NOT NULL), count(content) FILTER (WHERE job IS NOT NULL),
      least(max(ord) FILTER (WHERE job IS NOT NULL), min((content -> 0 ->> 2)::bigint) FILTER (WHERE lease IS NULL)),
      coalesce(max(ord) FILTER (WHERE lease IS NULL), 0)
    INTO leases, ids, attempts, n, seen, micros
    FROM ${schema}.claim(me, '{mail}', '{post}', ARRAY[batch], '{0}', 2147483647, 0, true,
      CASE WHEN known THEN '{post}'::text[] ELSE '{}' END, CASE WHEN known THEN '{mail}'::text[] ELSE '{}' END,
      CASE WHEN known THEN '{11}'::smallint[] ELSE '{}' END,
      CASE WHEN known THEN ARRAY[memory[4]::bigint] ELSE '{}' END);
    COMMIT;
    claims := claims + 1;
    now := extract(epoch FROM clock_timestamp());
    memory[4] := greatest(memory[4], seen);
    IF known AND now - memory[3] >= 1 THEN
      sent := memory[4];
      SELECT min(mark), pg_snapshot_xmin(pg_current_snapshot())::text::float8, pg_snapshot_xmax(pg_current_snapshot())::text::float8
      INTO seen, xmin, xmax FROM ${schema}.turns('{mail}', '{post}', '{post}', '{mail}', '{11}', ARRAY[memory[5]::bigint]);
      COMMIT;
      memory[3] := now;
      memory[4] := least(memory[4], seen);
      IF xmin >= memory[7] THEN
        memory[5] := greatest(memory[5], least(memory[6], memory[4]));
        memory[6] := sent;
        memory[7] := xmax;
      END IF;
    ELSIF NOT known THEN
      memory[1] := least(micros, memory[2]);
      memory[2] := micros;
      memory[3] := now;
    END IF;

    CONTINUE WHEN n = 0;
    -- As the store says it where all complete.
    PERFORM FROM ${end}(me, leases, ids, attempts, array_fill(1, ARRAY[n]), '{}', '{completed}', '{}', '{}', '{}', '{}', '{}', '{}',
      ARRAY(SELECT DISTINCT lease FROM unnest(leases) AS lease));
    COMMIT;
    jobs := jobs + n;
  END LOOP;
  seconds := extract(epoch FROM clock_timestamp() - began);
  memory[8] := extract(epoch FROM clock_timestamp());
END
$$`

/** What bulk and single enqueues leave behind, written at once. */
const fillTickets = (schema: string) => `
CREATE PROCEDURE bench.fill_${schema}(jobs int, ticket_size int) LANGUAGE plpgsql AS $$
DECLARE
  first_job bigint := nextval('${schema}.job_number');
  first_ticket bigint := nextval('${schema}.pointer_number');
BEGIN
  TRUNCATE ${schema}.job, ${schema}.attempt_end, ${schema}.ticket, ${schema}.lease;
  PERFORM setval('${schema}.job_number', first_job + jobs), setval('${schema}.pointer_number', first_ticket + jobs);
  INSERT INTO ${schema}.worker (name) VALUES ('bench');
  INSERT INTO ${schema}.job (id, ticket, enqueued_at, slot, priority, queue, kind, payload)
  SELECT first_job + n, first_ticket + n / ticket_size, now(), 1, 5, 'post', 'mail', ${payload}
  FROM generate_series(0, jobs - 1) AS n;
  INSERT INTO ${schema}.ticket (id, shelf, turn, size, jobs, attempt, failures, crashes, slot, priority, queue, kind)
  SELECT first_ticket + n, 0, 11, ticket_size,
    int8multirange(int8range(first_job + n * ticket_size, first_job + (n + 1) * ticket_size)), 0, 0, 0, 1, 5, 'post', 'mail'
  FROM generate_series(0, jobs / ticket_size - 1) AS n;
END
$$`

/** end_attempts with ON CONFLICT for every row, and without anything that answers a conflict. */
const fence = /BEGIN\n(\s+CASE one_slot[^]*?)\n\s+EXCEPTION WHEN unique_violation THEN\n([^]*?)\n\s+END;/
const variant = (name: string, statement: "$1" | "$2") => {
  const shipped = endAttempts("tickets")
  if (!fence.test(shipped)) throw new Error("end_attempts has changed: tell scripts/benchmarks what its fence is now")
  return shipped.replace("tickets.end_attempts(", `bench.${name}(`).replace(fence, statement)
}

/** Every statement runs once, before the first round. */
export const setup = [
  `CREATE SCHEMA bench`,
  `CREATE TABLE bench.plain (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    queue text NOT NULL,
    kind text NOT NULL,
    priority smallint NOT NULL,
    state text NOT NULL DEFAULT 'ready',
    attempt int NOT NULL DEFAULT 0,
    run_at timestamptz NOT NULL DEFAULT now(),
    enqueued_at timestamptz NOT NULL DEFAULT now(),
    worker bigint,
    started_at timestamptz,
    ended_at timestamptz,
    payload jsonb NOT NULL,
    output jsonb
  )`,
  `CREATE INDEX plain_ready ON bench.plain (queue, priority, id) WHERE state = 'ready'`,
  `CREATE PROCEDURE bench.fill_plain(jobs int) LANGUAGE plpgsql AS $$
BEGIN
  TRUNCATE bench.plain;
  INSERT INTO bench.plain (queue, kind, priority, payload) SELECT 'post', 'mail', 5, ${payload} FROM generate_series(1, jobs);
END
$$`,
  `CREATE PROCEDURE bench.bury_plain(jobs int) LANGUAGE plpgsql AS $$
DECLARE
  lowest bigint := (SELECT min(id) FROM bench.plain);
BEGIN
  FOR beyond IN 500 .. jobs BY 500 LOOP
    UPDATE bench.plain SET state = 'running', attempt = attempt + 1, worker = 1, started_at = clock_timestamp()
    WHERE id >= lowest + beyond - 500 AND id < lowest + beyond;
    COMMIT;
    UPDATE bench.plain SET state = 'completed', ended_at = clock_timestamp()
    WHERE id >= lowest + beyond - 500 AND id < lowest + beyond;
    COMMIT;
  END LOOP;
END
$$`,
  drivePlain("drive_plain"),
  drivePlain("drive_plain_lazily", "PERFORM set_config('synchronous_commit', 'off', true);"),
  ...schemas.flatMap((schema) => [
    fillTickets(schema),
    driveTickets(schema, `drive_${schema}`, `${schema}.end_attempts`)
  ]),
  variant("end_without_fence", "$1"),
  variant("end_on_conflict", "$2"),
  driveTickets("tickets", "drive_without_fence", "bench.end_without_fence"),
  driveTickets("tickets", "drive_on_conflict", "bench.end_on_conflict")
]

const drive = (procedure: string) => `CALL bench.${procedure}($1, $2, $3, 0, 0, 0, $4)`

export const plain: Contender = {
  name: "update in place",
  tables: ["bench.plain"],
  share: 0.4,
  fill: `CALL bench.fill_plain($1)`,
  searched: "indexrelname = 'plain_ready'",
  drive: drive("drive_plain"),
  bury: "CALL bench.bury_plain($1)",
  enqueue: `INSERT INTO bench.plain (queue, kind, priority, payload) SELECT 'post', 'mail', 5, ${payload} FROM generate_series(1, $1::int)`
}

/** Waits for the disk as ours do: when jobs are finished, not when they are claimed. */
export const plainLazily: Contender = {
  ...plain,
  name: "update in place, its claims not waited for",
  drive: drive("drive_plain_lazily")
}

const tickets = (
  schema: string,
  name: string,
  size: number,
  share: number,
  procedure = `drive_${schema}`
): Contender => ({
  name,
  share,
  tables: ["job", "ticket", "lease"].map((table) => `${schema}.${table}`),
  fill: `CALL bench.fill_${schema}($1, ${size})`,
  searched: `schemaname = '${schema}' AND (relname LIKE 'ticket%' OR relname = 'lease')`,
  drive: drive(procedure),
  seldom: `SELECT count(*) FROM ${schema}.turns('{mail}', '{post}', '{}', '{}', '{}', '{}')`,
  enqueue: `
    SELECT cardinality(ids) FROM (SELECT $1::int AS n) call CROSS JOIN LATERAL ${schema}.enqueue_many(
      array_fill('mail'::text, ARRAY[n]), array_fill('post'::text, ARRAY[n]), array_fill(5::smallint, ARRAY[n]),
      array_fill(${payload}::text, ARRAY[n]), array_fill(NULL::jsonb, ARRAY[n]), array_fill(NULL::bigint, ARRAY[n]),
      array_fill(NULL::timestamptz, ARRAY[n]), array_fill(NULL::bigint, ARRAY[n]))`
})

export const ranges = tickets("tickets", "tickets of 500", 500, 1)
export const singles = tickets("singles", "tickets of one", 1, 0.7)
export const onConflict = tickets("tickets", "ON CONFLICT for every row", 500, 1, "drive_on_conflict")
export const unfenced = tickets("tickets", "no answer to a conflict", 500, 1, "drive_without_fence")
