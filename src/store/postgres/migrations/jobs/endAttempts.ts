import { shelves, slots } from "./tables.ts"

/** One statement per slot: each is planned when it is first used, and locks nothing of the other slots. */
const counts = (schema: string) =>
  Array.from(
    { length: slots + 1 },
    (_, slot) => `
        WHEN ${slot} THEN
          SELECT count(*) INTO ends_found FROM unnest(one_lease.jobs) AS run CROSS JOIN LATERAL (
            SELECT FROM ${schema}.attempt_end_${slot} AS done
            WHERE done.job >= lower(run) AND done.job < upper(run) AND done.attempt = one_lease.attempt OFFSET 0
          ) done;`
  ).join("")

/** The attempts of the leases that are held here. */
const said = `FROM unnest(leases, jobs, attempts, rans, outputs) AS said (lease, job, attempt, ran_ms, output)
          JOIN unnest(held) AS lease ON lease.id = said.lease AND lease.attempt = said.attempt AND lease.jobs @> said.job`

/** Ordered as the other insert is: callers that end the same attempts take their keys in one order. */
const complete = (table: string) => `
          INSERT INTO ${table} (job, worker, ended_at, attempt, ran_ms, slot, state, final, queue, priority, output)
          SELECT said.job, lease.worker, moment, said.attempt, said.ran_ms, lease.slot, 'completed', 'completed',
            CASE WHEN lease.position IS NOT NULL THEN lease.queue END, CASE WHEN lease.position IS NOT NULL THEN lease.priority END, said.output
          ${said}
          ORDER BY lease.slot, said.job`

/**
 * Tried first without ON CONFLICT, which costs a row half as much again, and into the one slot that all lie in: outcomes
 * seldom meet, and the key refuses them all the same.
 */
const completeSlot = (schema: string) =>
  Array.from(
    { length: slots + 1 },
    (_, slot) => `
        WHEN ${slot} THEN${complete(`${schema}.attempt_end_${slot}`)};`
  ).join("")

/**
 * Ends attempts, and writes what follows for those that ended here.
 *
 * The insert of the end row is the fence: its key can be taken once, by whoever comes first. A second outcome, a late
 * one and a rescue meet the key and do nothing. An attempt whose lease is gone or is another worker's never gets there.
 *
 * An outcome that leads to another attempt must see a cancel that was asked for: it locks the lease first, as cancel
 * does, and decides in the next statement, with a new snapshot.
 *
 * \`nexts\` says where each job goes: completed, cancelled, dead, ready, timed or waiting. \`whole\` are the leases the
 * caller believes to be over; one that is not stays. NULL leaves all of them: removing a lease late is harmless, and
 * a handler's own transaction must not hold what a rescue would wait for.
 * Answers the attempts that ended here, by where their jobs went.
 */
export const endAttempts = (schema: string) => `
CREATE FUNCTION ${schema}.end_attempts(
  ender bigint, leases bigint[], jobs bigint[], attempts int[], rans int[], states text[], nexts text[], next_ins bigint[],
  reasons text[], errors jsonb[], outputs jsonb[], tokens text[], policies text[], whole bigint[],
  OUT place text, OUT queue text, OUT ended bigint[], OUT ended_attempts int[]
) RETURNS SETOF record LANGUAGE plpgsql VOLATILE
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_nestloop = off SET enable_mergejoin = off
SET jit = off AS $$
#variable_conflict use_column
DECLARE
  moment timestamptz := clock_timestamp();
  owners bigint[];
  on_shelf smallint;
  held ${schema}.lease[];
  held_size bigint;
  one_slot smallint;
  died ${schema}.pointer[];
  rescues ${schema}.rescue[];
  one_lease ${schema}.lease;
  ends_found bigint;
  all_ended bigint[] := '{}';
  over bigint[] := '{}';
BEGIN
  -- Asked for by both columns of lease_worker, although the number alone would do: a plan made while no lease was open
  -- may go by any index, and by that one it would then walk all of it.
  IF ender IS NULL THEN
    owners := ARRAY(SELECT DISTINCT lease.worker FROM ${schema}.lease WHERE lease.id = ANY (leases));
  ELSE
    owners := ARRAY[ender];
  END IF;
  IF nexts && '{ready,timed,waiting}' THEN
    PERFORM FROM ${schema}.lease WHERE lease.id = ANY (leases) AND lease.worker = ANY (owners) ORDER BY lease.id FOR SHARE;
    SELECT floor(extract(epoch FROM moment) / extract(epoch FROM ring.shelf_period))::bigint % ${shelves}
    INTO STRICT on_shelf FROM ${schema}.ring;
  END IF;
  SELECT array_agg(lease), sum(lease.size), CASE WHEN min(lease.slot) = max(lease.slot) THEN greatest(min(lease.slot), 0) END
  INTO held, held_size, one_slot FROM ${schema}.lease
  WHERE lease.id = ANY (leases) AND lease.worker = ANY (owners);

  IF nexts <@ '{completed}' THEN
    -- Nothing follows, so nothing has to be carried along: most batches are this one.
    BEGIN
      CASE one_slot${completeSlot(schema)}
        ELSE${complete(`${schema}.attempt_end`)};
      END CASE;
      GET DIAGNOSTICS ends_found = ROW_COUNT;
      IF ends_found = cardinality(jobs) THEN
        ended := jobs;
        ended_attempts := attempts;
      ELSE
        SELECT array_agg(said.job), array_agg(said.attempt) INTO ended, ended_attempts
        ${said};
      END IF;
    EXCEPTION WHEN unique_violation THEN
      WITH done AS (${complete(`${schema}.attempt_end`)}
        ON CONFLICT DO NOTHING
        RETURNING job, attempt
      )
      SELECT array_agg(job), array_agg(attempt) INTO ended, ended_attempts FROM done;
    END;
    place := 'completed';
    all_ended := ended;
    RETURN NEXT;
  ELSE
    FOR place, queue, ended, ended_attempts, died, rescues IN
      WITH input AS MATERIALIZED (
        SELECT said.*, lease.worker, lease.size, lease.slot, lease.priority, lease.queue, lease.kind, lease.deadline_ms,
          lease.failures + (said.state IN ('failed', 'died'))::int AS failures,
          lease.crashes + (said.state = 'rescued')::int AS crashes,
          CASE WHEN stopped THEN 'cancelled' ELSE said.next END AS goes,
          CASE WHEN stopped THEN lease.cancelling ->> said.job::text ELSE said.reason END AS because
        FROM unnest(leases, jobs, attempts, rans, states, nexts, next_ins, reasons, errors, outputs, tokens, policies) WITH ORDINALITY
          AS said (lease, job, attempt, ran_ms, state, next, next_in, reason, error, output, token, policy, ord)
        JOIN unnest(held) AS lease ON lease.id = said.lease AND lease.attempt = said.attempt AND lease.jobs @> said.job
        CROSS JOIN LATERAL (
          SELECT (said.next IN ('ready', 'timed', 'waiting') OR said.state = 'rescued') AND lease.cancelling ? said.job::text IS TRUE AS stopped
        ) cancel
      ), done AS (
        INSERT INTO ${schema}.attempt_end (job, worker, ended_at, attempt, ran_ms, slot, state, final, queue, priority, reason, error, output)
        SELECT job, worker, moment, attempt, ran_ms, slot, state,
          CASE WHEN goes IN ('completed', 'cancelled', 'dead') THEN goes END, queue, priority, because, error, output
        FROM input ORDER BY slot, job, ord
        ON CONFLICT DO NOTHING
        RETURNING job, attempt
      ), follow AS MATERIALIZED (
        SELECT DISTINCT ON (input.job) input.* FROM input JOIN done ON done.job = input.job AND done.attempt = input.attempt
        ORDER BY input.job, ord
      ), to_ready AS (
        INSERT INTO ${schema}.ticket (id, again, size, shelf, turn, jobs, attempt, failures, crashes, deadline_ms, slot, priority, queue, kind)
        SELECT nextval('${schema}.pointer_number'), job, 1, on_shelf, 2 * priority, int8multirange(int8range(job, job, '[]')),
          attempt, failures, crashes, deadline_ms, slot, priority, queue, kind
        FROM (SELECT * FROM follow WHERE goes = 'ready' ORDER BY ord) ready
      ), to_timed AS (
        INSERT INTO ${schema}.timed (job, run_at, reason, attempt, failures, crashes, deadline_ms, slot, priority, queue, kind)
        SELECT job, moment + next_in * interval '1 ms', because, attempt, failures, crashes, deadline_ms, slot, priority, queue, kind
        FROM follow WHERE goes = 'timed'
      ), to_waiting AS (
        INSERT INTO ${schema}.wait (job, token, expires_at, on_expiry, attempt, failures, crashes, deadline_ms, slot, priority, queue, kind)
        SELECT job, token, moment + next_in * interval '1 ms', policy, attempt, failures, crashes, deadline_ms, slot, priority, queue, kind
        FROM follow WHERE goes = 'waiting'
      )
      SELECT goes, queue, array_agg(job), array_agg(attempt),
        CASE WHEN goes = 'dead' THEN array_agg((job, attempt, failures, crashes, deadline_ms, slot, priority, queue, kind, because)::${schema}.pointer) END,
        array_agg((job, attempt, crashes, worker, slot, queue, kind, goes)::${schema}.rescue) FILTER (WHERE state = 'rescued')
      FROM follow GROUP BY goes, queue
    LOOP
      all_ended := all_ended || ended;
      IF rescues IS NOT NULL THEN PERFORM ${schema}.tell_rescues(rescues); END IF;
      IF died IS NOT NULL THEN PERFORM ${schema}.bury(died); END IF;
      RETURN NEXT;
    END LOOP;
  END IF;

  IF whole IS NULL THEN RETURN; END IF;
  IF cardinality(all_ended) = held_size THEN
    -- All that was held ended here: no need to look.
    over := whole;
  ELSE
    FOR one_lease IN SELECT lease.* FROM unnest(held) lease WHERE lease.id = ANY (whole) LOOP
      CASE greatest(one_lease.slot, 0)${counts(schema)}
      END CASE;
      IF ends_found = one_lease.size THEN over := over || one_lease.id; END IF;
    END LOOP;
  END IF;
  -- Without waiting: whoever holds a lease may be waiting for an end that this transaction wrote.
  IF over <> '{}' THEN
    DELETE FROM ${schema}.lease WHERE lease.worker = ANY (owners) AND lease.id = ANY (ARRAY(
      SELECT lease.id FROM ${schema}.lease WHERE lease.id = ANY (over) AND lease.worker = ANY (owners) FOR UPDATE SKIP LOCKED
    ));
  END IF;
END
$$`
