/**
 * Writes the tables: bodies and ends in one ring of slots, ready pointers in a smaller one, the other pointers beside.
 *
 * Slots are emptied whole and their rows never updated, so there is nothing for autovacuum in them, and it would hold
 * a lock that emptying cannot wait for. Text is compared byte by byte: names here are matched, never sorted for a reader.
 *
 * Rules of one column are domains. As a CHECK of the table each would be parsed anew by every statement: seven of them
 * made a one-row insert take 77 µs instead of 13. Rules over several columns stand where rows come one by one and rarely.
 */

/**
 * The ring has slots 1 to 24. The attic keeps what outlives it: slot 0 for jobs that were enqueued there, and -7 for a
 * body copied from slot 7, so that a job keeps its id wherever its body lies.
 */
export const slots = 24
export const shelves = 2

const numbers = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, index) => from + index)

/** What every pointer carries: a claim reads no body to know whom it serves. */
const pointer = (schema: string) => `
  attempt ${schema}.tally NOT NULL,
  failures ${schema}.tally NOT NULL,
  crashes ${schema}.tally NOT NULL,
  deadline_ms ${schema}.milliseconds,
  slot smallint NOT NULL,
  priority ${schema}.priority NOT NULL,
  queue ${schema}.name NOT NULL,
  kind ${schema}.name NOT NULL`

const counted = "CHECK (attempt >= failures + crashes)"

export const tables = (schema: string): ReadonlyArray<string> => [
  `CREATE DOMAIN ${schema}.name AS text COLLATE "C" CHECK (VALUE <> '')`,
  `CREATE DOMAIN ${schema}.priority AS smallint CHECK (VALUE BETWEEN 0 AND 9)`,
  `CREATE DOMAIN ${schema}.tally AS int CHECK (VALUE >= 0)`,
  `CREATE DOMAIN ${schema}.size AS int CHECK (VALUE > 0)`,
  `CREATE DOMAIN ${schema}.milliseconds AS bigint CHECK (VALUE BETWEEN 1 AND 1000000000000000)`,
  `CREATE DOMAIN ${schema}.numbers AS int8multirange CHECK (NOT isempty(VALUE))`,
  `CREATE DOMAIN ${schema}.end_state AS text COLLATE "C" CHECK (VALUE IN ('completed', 'failed', 'snoozed', 'parked', 'released', 'died', 'cancelled', 'rescued', 'resumed', 'expired', 'set aside', 'repaired', 'moved'))`,
  `CREATE DOMAIN ${schema}.final_place AS text COLLATE "C" CHECK (VALUE IN ('completed', 'cancelled', 'dead', 'moved', 'revived'))`,
  `CREATE TYPE ${schema}.pointer AS (
  job bigint, attempt int, failures int, crashes int, deadline_ms bigint,
  slot smallint, priority smallint, queue text, kind text, reason text
)`,
  `CREATE SEQUENCE ${schema}.job_number`,
  `CREATE SEQUENCE ${schema}.pointer_number`,
  `CREATE SEQUENCE ${schema}.lease_number`,

  `CREATE TABLE ${schema}.ring (
  only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
  slots smallint NOT NULL DEFAULT ${slots} CHECK (slots BETWEEN 3 AND ${slots}),
  period interval NOT NULL DEFAULT '90 minutes' CHECK (period >= '1 second'),
  retention interval NOT NULL DEFAULT '24 hours' CHECK (retention > '0'),
  dead_retention interval NOT NULL DEFAULT '30 days' CHECK (dead_retention > '0'),
  shelf_period interval NOT NULL DEFAULT '30 seconds' CHECK (shelf_period >= '1 second'),
  CONSTRAINT ring_outlasts_retention CHECK (slots * period > retention + 2 * period)
)`,
  `INSERT INTO ${schema}.ring DEFAULT VALUES`,

  `CREATE TABLE ${schema}.job (
  id bigint NOT NULL,
  ticket bigint,
  enqueued_at timestamptz NOT NULL,
  deadline_ms ${schema}.milliseconds,
  slot smallint NOT NULL,
  priority ${schema}.priority NOT NULL,
  queue ${schema}.name NOT NULL,
  kind ${schema}.name NOT NULL,
  payload jsonb NOT NULL,
  details jsonb,
  history jsonb,
  PRIMARY KEY (id, slot)
) PARTITION BY LIST (slot)`,
  `COMMENT ON TABLE ${schema}.job IS 'Bodies: written once, at enqueue. ticket is the first one; history is what a copied body had behind it.'`,

  `CREATE TABLE ${schema}.attempt_end (
  job bigint NOT NULL,
  worker bigint,
  ended_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  attempt ${schema}.size NOT NULL,
  ran_ms ${schema}.tally,
  slot smallint NOT NULL,
  state ${schema}.end_state NOT NULL,
  final ${schema}.final_place,
  queue ${schema}.name,
  priority ${schema}.priority,
  reason text,
  error jsonb,
  output jsonb,
  PRIMARY KEY (job, attempt, slot)
) PARTITION BY LIST (slot)`,
  `COMMENT ON TABLE ${schema}.attempt_end IS 'Ends: the primary key lets an attempt end once. final says where the job stands for good, that its body went to the attic (moved), or that it was for good until somebody drove it again (revived); queue and priority are kept where they can differ from the body.'`,

  ...["job", "attempt_end"].flatMap((table) => [
    `CREATE TABLE ${schema}.${table}_0 PARTITION OF ${schema}.${table} FOR VALUES IN (${numbers(-slots, 0).join(", ")})`,
    ...numbers(1, slots).map(
      (slot) => `CREATE TABLE ${schema}.${table}_${slot} PARTITION OF ${schema}.${table}
FOR VALUES IN (${slot}) WITH (autovacuum_enabled = false)`
    )
  ]),

  `CREATE TABLE ${schema}.ticket (
  id bigint NOT NULL,
  again bigint,
  ready_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  size ${schema}.size NOT NULL,
  shelf smallint NOT NULL,
  turn smallint NOT NULL,
  jobs ${schema}.numbers NOT NULL,${pointer(schema)},
  PRIMARY KEY (id, shelf)
) PARTITION BY LIST (shelf)`,
  `COMMENT ON TABLE ${schema}.ticket IS 'Ready: the jobs of one enqueue, or one job that is ready again. turn is twice the priority, and one more for the former: every insert of a row would parse a generated column anew. A claim deletes it, or takes its first jobs and leaves the rest.'`,
  ...numbers(0, shelves - 1).map(
    (shelf) => `CREATE TABLE ${schema}.ticket_${shelf} PARTITION OF ${schema}.ticket
FOR VALUES IN (${shelf}) WITH (autovacuum_vacuum_insert_threshold = -1)`
  ),
  `CREATE INDEX ticket_turn ON ${schema}.ticket (queue, kind, turn, id)`,
  `CREATE INDEX ticket_again ON ${schema}.ticket (again) WHERE again IS NOT NULL`,

  `CREATE TABLE ${schema}.timed (
  job bigint PRIMARY KEY,
  run_at timestamptz NOT NULL,
  reason text,${pointer(schema)},
  ${counted}
)`,
  `COMMENT ON TABLE ${schema}.timed IS 'Scheduled: due at a time.'`,
  `CREATE INDEX timed_due ON ${schema}.timed (run_at, job)`,

  `CREATE TABLE ${schema}.lease (
  id bigint PRIMARY KEY,
  worker bigint NOT NULL,
  position bigint,
  claimed_at timestamptz NOT NULL,
  deadline_at timestamptz,
  size ${schema}.size NOT NULL,
  begun boolean NOT NULL,
  jobs ${schema}.numbers NOT NULL,
  cancelling jsonb,${pointer(schema)}
)`,
  `COMMENT ON TABLE ${schema}.lease IS 'Running: who runs what. attempt is that of its jobs; cancelling maps job to reason; what was claimed ahead has not begun and has no deadline_at yet. Removing it after its attempts ended can be late.'`,
  `CREATE INDEX lease_worker ON ${schema}.lease (worker, id)`,
  `CREATE INDEX lease_deadline ON ${schema}.lease (deadline_at, id) WHERE deadline_at IS NOT NULL`,

  `CREATE TABLE ${schema}.wait (
  job bigint PRIMARY KEY,
  token text COLLATE "C" NOT NULL CHECK (token <> ''),
  expires_at timestamptz NOT NULL,
  on_expiry text NOT NULL CHECK (on_expiry IN ('retry', 'die', 'cancel')),${pointer(schema)},
  ${counted}
)`,
  `COMMENT ON TABLE ${schema}.wait IS 'Waiting: for somebody outside who has the token.'`,
  `CREATE INDEX wait_token ON ${schema}.wait (token, job)`,
  `CREATE INDEX wait_expiry ON ${schema}.wait (expires_at, job)`,

  `CREATE TABLE ${schema}.dead (
  job bigint PRIMARY KEY,
  died_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  enqueued_at timestamptz NOT NULL,
  reason text NOT NULL,
  payload jsonb NOT NULL,
  details jsonb,
  history jsonb NOT NULL,${pointer(schema)},
  ${counted}
)`,
  `COMMENT ON TABLE ${schema}.dead IS 'Dead: the whole body and its history, for its slot is emptied without it.'`,
  `CREATE INDEX dead_retention ON ${schema}.dead (died_at, job)`,

  `CREATE TABLE ${schema}.worker (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  name text NOT NULL,
  kinds text[],
  queues text[],
  role text NOT NULL DEFAULT 'worker',
  holder text,
  version text,
  lanes text[] NOT NULL DEFAULT '{}',
  started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  beat_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  beats bigint NOT NULL DEFAULT 0,
  declared_dead_at timestamptz
)`,
  `COMMENT ON TABLE ${schema}.worker IS 'Who is there: workers, and processes that only maintain. holder is the name under which it would lead.'`,
  `CREATE TABLE ${schema}.queue (
  name text COLLATE "C" PRIMARY KEY CHECK (name <> ''),
  paused_at timestamptz
)`
]
