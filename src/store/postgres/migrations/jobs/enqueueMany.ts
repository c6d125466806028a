import { shelves } from "./tables.ts"

/**
 * Writes bodies and their first pointers, in the order given.
 *
 * Jobs alike in queue, kind, priority and deadline share tickets. A ticket holds a sixteenth of the call at most, so
 * that one bulk enqueue feeds many claimers, and never more than a claim would split soon after.
 * The slot comes from the clock: nothing has to advance it. A job due after the ring has come round goes to the attic.
 */
export const enqueueMany = (schema: string) => `
CREATE FUNCTION ${schema}.enqueue_many(
  kinds text[], queues text[], priorities smallint[], payloads text[], details jsonb[],
  deadlines bigint[], run_ats timestamptz[], run_ins bigint[],
  OUT ids bigint[], OUT slots smallint[]
) LANGUAGE plpgsql VOLATILE SET plan_cache_mode = force_generic_plan AS $$
DECLARE
  moment timestamptz := clock_timestamp();
  here smallint;
  horizon timestamptz;
  on_shelf smallint;
  ticket_size int := least(500, greatest(32, cardinality(kinds) / 16));
  tickets bigint[];
BEGIN
  SELECT 1 + floor(extract(epoch FROM moment) / extract(epoch FROM ring.period))::bigint % ring.slots,
    moment + (ring.slots - 2) * ring.period - ring.retention,
    floor(extract(epoch FROM moment) / extract(epoch FROM ring.shelf_period))::bigint % ${shelves}
  INTO STRICT here, horizon, on_shelf FROM ${schema}.ring;

  IF array_remove(kinds, kinds[1]) = '{}' AND array_remove(queues, queues[1]) = '{}'
    AND array_remove(priorities, priorities[1]) = '{}' AND array_remove(deadlines, deadlines[1]) = '{}'
    AND array_remove(run_ats, NULL) = '{}' AND array_remove(run_ins, NULL) = '{}'
  THEN
    -- All alike and ready, as nearly always: one job, or many of a kind. There is nothing to sort out.
    IF cardinality(kinds) = 1 THEN
      ids := ARRAY[nextval('${schema}.job_number')];
      slots := ARRAY[here];
      tickets := ARRAY[nextval('${schema}.pointer_number')];
      INSERT INTO ${schema}.ticket (id, shelf, turn, size, jobs, attempt, failures, crashes, deadline_ms, slot, priority, queue, kind)
      VALUES (tickets[1], on_shelf, 2 * priorities[1] + 1, 1, int8multirange(int8range(ids[1], ids[1], '[]')), 0, 0, 0, deadlines[1], here, priorities[1], queues[1], kinds[1]);
      INSERT INTO ${schema}.job (id, ticket, enqueued_at, deadline_ms, slot, priority, queue, kind, payload, details)
      VALUES (ids[1], tickets[1], moment, deadlines[1], here, priorities[1], queues[1], kinds[1], payloads[1]::jsonb, details[1]);
      RETURN;
    END IF;
    SELECT array_agg(nextval('${schema}.job_number')), array_agg(here) INTO ids, slots FROM generate_series(1, cardinality(kinds));
    SELECT array_agg(nextval('${schema}.pointer_number')) INTO tickets
    FROM generate_series(0, (cardinality(kinds) - 1) / ticket_size);
    INSERT INTO ${schema}.ticket (id, shelf, turn, size, jobs, attempt, failures, crashes, deadline_ms, slot, priority, queue, kind)
    SELECT tickets[1 + (ord - 1) / ticket_size], on_shelf, 2 * priorities[1] + 1, count(*), range_agg(int8range(id, id, '[]')), 0, 0, 0,
      deadlines[1], here, priorities[1], queues[1], kinds[1]
    FROM unnest(ids) WITH ORDINALITY AS one (id, ord) GROUP BY (ord - 1) / ticket_size;
    INSERT INTO ${schema}.job (id, ticket, enqueued_at, deadline_ms, slot, priority, queue, kind, payload, details)
    SELECT id, tickets[1 + (ord - 1) / ticket_size], moment, deadlines[1], here, priorities[1], queues[1], kinds[1], payload::jsonb, detail
    FROM unnest(ids, payloads, details) WITH ORDINALITY AS one (id, payload, detail, ord);
    RETURN;
  END IF;

  WITH input AS MATERIALIZED (
    SELECT nextval('${schema}.job_number') AS id, job.*,
      CASE WHEN run_at > moment THEN run_at WHEN run_in > 0 THEN moment + run_in * interval '1 ms' END AS due
    FROM unnest(kinds, queues, priorities, payloads, details, deadlines, run_ats, run_ins) WITH ORDINALITY
      AS job (kind, queue, priority, payload, detail, deadline_ms, run_at, run_in, ord)
  ), placed AS MATERIALIZED (
    SELECT input.*,
      CASE WHEN due > horizon THEN 0 ELSE here END::smallint AS slot,
      first_value(ord) OVER alike AS head,
      (row_number() OVER alike - 1) / ticket_size AS part
    FROM input
    WINDOW alike AS (PARTITION BY due IS NULL, queue, kind, priority, deadline_ms ORDER BY ord)
  ), bundle AS MATERIALIZED (
    SELECT nextval('${schema}.pointer_number') AS ticket, alike.*
    FROM (
      SELECT head, part, queue, kind, priority, deadline_ms, count(*) AS size, range_agg(int8range(id, id, '[]')) AS jobs
      FROM placed WHERE due IS NULL
      GROUP BY head, part, queue, kind, priority, deadline_ms
      ORDER BY head, part
    ) alike
  ), ready AS (
    INSERT INTO ${schema}.ticket (id, shelf, turn, size, jobs, attempt, failures, crashes, deadline_ms, slot, priority, queue, kind)
    SELECT ticket, on_shelf, 2 * priority + 1, size, jobs, 0, 0, 0, deadline_ms, here, priority, queue, kind FROM bundle
  ), scheduled AS (
    INSERT INTO ${schema}.timed (job, run_at, attempt, failures, crashes, deadline_ms, slot, priority, queue, kind)
    SELECT id, due, 0, 0, 0, deadline_ms, slot, priority, queue, kind FROM placed WHERE due IS NOT NULL
  ), bodies AS (
    INSERT INTO ${schema}.job (id, ticket, enqueued_at, deadline_ms, slot, priority, queue, kind, payload, details)
    SELECT id, bundle.ticket, moment, placed.deadline_ms, slot, placed.priority, placed.queue, placed.kind, payload::jsonb, detail
    FROM placed LEFT JOIN bundle ON due IS NULL AND bundle.head = placed.head AND bundle.part = placed.part
    ORDER BY ord
  )
  SELECT array_agg(placed.id ORDER BY ord), array_agg(placed.slot ORDER BY ord) INTO ids, slots FROM placed;
END
$$`
