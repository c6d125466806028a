import { slots } from "./tables.ts"

/**
 * Takes ready pointers and writes leases.
 *
 * The turns are the (queue, kind, priority, fresh) that have something ready, each with the lowest ticket still there.
 * Under a pinned snapshot consumed tickets stay in the index as dead entries, and a claim must not read them again and
 * again: it is given the turns that are known, with marks to begin at, and looks only between them for new ones.
 * Given none it looks everywhere, which is the one look that finds what lies below a mark.
 */
export const newTurns = (schema: string) => `
CREATE FUNCTION ${schema}.new_turns(
  kinds text[], queues text[],
  known_queues text[], known_kinds text[], known_priorities smallint[], known_fresh boolean[]
) RETURNS TABLE (queue text, kind text, priority smallint, fresh boolean, mark bigint)
LANGUAGE plpgsql STABLE SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_bitmapscan = off AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
  WITH RECURSIVE edge AS (
    SELECT asked.queue, served.kind, -1::smallint AS priority, false AS fresh
    FROM unnest(queues) AS asked (queue) CROSS JOIN unnest(kinds) AS served (kind)
    UNION ALL
    SELECT * FROM unnest(known_queues, known_kinds, known_priorities, known_fresh) AS known (queue, kind, priority, fresh)
    WHERE known.queue = ANY (queues) AND known.kind = ANY (kinds)
  ), gap AS (
    -- It ends before a priority, not within one: before 18 only a bound on a single column ends a scan.
    SELECT queue, kind, priority, bool_or(fresh) AS fresh, bool_and(fresh) AS probed,
      lead(priority, 1, 10::smallint) OVER (PARTITION BY queue, kind ORDER BY priority) AS end_priority
    FROM edge GROUP BY queue, kind, priority
  ), turn AS (
    SELECT first.*, gap.end_priority FROM gap CROSS JOIN LATERAL (
      SELECT ticket.queue, ticket.kind, ticket.priority, ticket.fresh, ticket.id FROM ${schema}.ticket
      WHERE ticket.queue = gap.queue AND ticket.kind = gap.kind
        AND (ticket.priority, ticket.fresh) > (gap.priority, gap.fresh) AND ticket.priority < gap.end_priority
      ORDER BY ticket.queue, ticket.kind, ticket.priority, ticket.fresh, ticket.id LIMIT 1
    ) first
    UNION ALL
    SELECT next.*, turn.end_priority FROM turn CROSS JOIN LATERAL (
      SELECT ticket.queue, ticket.kind, ticket.priority, ticket.fresh, ticket.id FROM ${schema}.ticket
      WHERE ticket.queue = turn.queue AND ticket.kind = turn.kind
        AND (ticket.priority, ticket.fresh) > (turn.priority, turn.fresh) AND ticket.priority < turn.end_priority
      ORDER BY ticket.queue, ticket.kind, ticket.priority, ticket.fresh, ticket.id LIMIT 1
    ) next
  )
  SELECT turn.queue::text, turn.kind::text, turn.priority::smallint, turn.fresh, turn.id FROM turn
  UNION ALL
  SELECT again.* FROM gap CROSS JOIN LATERAL (
    SELECT ticket.queue::text, ticket.kind::text, ticket.priority::smallint, ticket.fresh, ticket.id FROM ${schema}.ticket
    WHERE ticket.queue = gap.queue AND ticket.kind = gap.kind AND ticket.priority = gap.priority AND NOT ticket.fresh
    ORDER BY ticket.queue, ticket.kind, ticket.priority, ticket.fresh, ticket.id LIMIT 1
  ) again WHERE gap.probed;
END
$$`

/**
 * The whole key of the turns' index, although the number alone would do: a plan made while a table was empty may go by
 * any index, and by this one it would then walk all of it for each ticket. All of it comes from the choice, so that no
 * plan can look for the tickets of a queue first and choose among them.
 */
const isTicket = (choice: string) => `ticket.id = ${choice}.id AND ticket.shelf = ${choice}.shelf
            AND ticket.queue = ${choice}.queue AND ticket.kind = ${choice}.kind
            AND ticket.priority = ${choice}.priority AND ticket.fresh = ${choice}.fresh`

/** Where a ticket is split. */
export const firstJobs = (schema: string) => `
CREATE FUNCTION ${schema}.first_jobs(jobs int8multirange, wanted int) RETURNS int8multirange LANGUAGE sql IMMUTABLE AS $$
  SELECT range_agg(int8range(lower(run), least(upper(run), lower(run) + wanted - before))) FROM (
    SELECT run, (sum(upper(run) - lower(run)) OVER (ORDER BY run))::bigint - upper(run) + lower(run) AS before
    FROM unnest(jobs) AS run
  ) first WHERE before < wanted
$$`

/** One statement per slot: each is planned when it is first used, and locks nothing of the other slots. */
const bodies = (schema: string) =>
  Array.from(
    { length: slots + 1 },
    (_, slot) => `
      WHEN ${slot} THEN RETURN QUERY
        SELECT asked, lease.id, lease.slot, job.id, coalesce(lease.position, job.ticket), lease.attempt::int, lease.failures::int, lease.crashes::int,
          lease.queue::text, lease.kind::text, lease.priority::smallint, lease.position IS NULL, job.payload, job.details, job.enqueued_at, lease.claimed_at,
          lease.deadline_ms::bigint, lease.begun
        FROM unnest(leases) AS lease CROSS JOIN unnest(lease.jobs) AS run
        CROSS JOIN LATERAL (
          SELECT * FROM ${schema}.job_${slot} AS job WHERE job.id >= lower(run) AND job.id < upper(run) OFFSET 0
        ) job
        WHERE lease.slot = one_slot;`
  ).join("")

/**
 * Each round reads the tickets next in turn, without locks and only as many as hold the jobs wanted, then locks those
 * nobody else holds. What others hold they are claiming; the next round begins behind it. Of those on the brink, which
 * crashed \`brink\` times, a round ends before the first there is no \`room\` for, and the next passes them over.
 * Answers the jobs; the rows without a lease are the new turns, with the microseconds it took to find them as \`ord\`,
 * and one with \`asked\` 0 when others held what it wanted.
 */
export const claim = (schema: string) => `
CREATE FUNCTION ${schema}.claim(
  claimer bigint, kinds text[], queues text[], limits int[], aheads int[], brink int, room int, alone boolean,
  known_queues text[], known_kinds text[], known_priorities smallint[], known_fresh boolean[], known_marks bigint[],
  OUT asked int, OUT lease bigint, OUT slot smallint, OUT id bigint, OUT ord bigint,
  OUT attempt int, OUT failures int, OUT crashes int,
  OUT queue text, OUT kind text, OUT priority smallint, OUT fresh boolean,
  OUT payload jsonb, OUT details jsonb, OUT enqueued_at timestamptz, OUT claimed_at timestamptz, OUT deadline_ms bigint, OUT begun boolean
) RETURNS SETOF record LANGUAGE plpgsql VOLATILE
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_bitmapscan = off
SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off AS $$
#variable_conflict use_column
DECLARE
  began timestamptz := clock_timestamp();
  new_queues text[];
  new_kinds text[];
  new_priorities smallint[];
  new_fresh boolean[];
  new_marks bigint[];
  wanted int;
  contended boolean := false;
  level record;
  chosen_ids bigint[];
  chosen_shelves smallint[];
  chosen_kinds text[];
  held ${schema}.ticket[];
  grip ${schema}.ticket;
  surplus int;
  taken ${schema}.ticket[];
  -- So many of these begin at once.
  begin_now int;
  rest ${schema}.ticket;
  leases ${schema}.lease[];
  part int8multirange;
  behind bigint;
  missed boolean;
  promised int;
  crowded boolean;
  one_slot smallint;
BEGIN
  PERFORM FROM ${schema}.worker WHERE worker.id = claimer AND declared_dead_at IS NULL;
  IF NOT FOUND THEN RETURN; END IF;
  -- See lazily.ts: a claim that a crash forgets was never made.
  IF alone THEN PERFORM set_config('synchronous_commit', 'off', true); END IF;

  SELECT array_agg(turn.queue), array_agg(turn.kind), array_agg(turn.priority), array_agg(turn.fresh), array_agg(turn.mark)
  INTO new_queues, new_kinds, new_priorities, new_fresh, new_marks
  FROM ${schema}.new_turns(kinds, queues, known_queues, known_kinds, known_priorities, known_fresh) turn;
  RETURN QUERY SELECT NULL::int, NULL::bigint, NULL::smallint, turn.mark,
    (extract(epoch FROM clock_timestamp() - began) * 1e6)::bigint, NULL::int, NULL::int, NULL::int,
    turn.queue, turn.kind, turn.priority, turn.fresh, NULL::jsonb, NULL::jsonb, NULL::timestamptz, NULL::timestamptz, NULL::bigint, NULL::boolean
  FROM unnest(new_queues, new_kinds, new_priorities, new_fresh, new_marks) AS turn (queue, kind, priority, fresh, mark);
  known_queues := known_queues || new_queues;
  known_kinds := known_kinds || new_kinds;
  known_priorities := known_priorities || new_priorities;
  known_fresh := known_fresh || new_fresh;
  known_marks := known_marks || new_marks;

  FOR asked IN 1 .. cardinality(queues) LOOP
    CONTINUE WHEN EXISTS (SELECT FROM ${schema}.queue WHERE queue.name = queues[asked] AND paused_at IS NOT NULL);
    wanted := limits[asked] + aheads[asked];
    taken := '{}';

    FOR level IN
      SELECT turn.priority, turn.fresh, array_agg(turn.kind) AS kinds, array_agg(turn.mark) AS marks
      FROM unnest(known_queues, known_kinds, known_priorities, known_fresh, known_marks) AS turn (queue, kind, priority, fresh, mark)
      WHERE turn.queue = queues[asked] AND turn.kind = ANY (kinds)
      GROUP BY turn.priority, turn.fresh ORDER BY turn.priority, turn.fresh
    LOOP
      behind := 0;
      FOR round IN 1 .. 8 LOOP
        EXIT WHEN wanted = 0;

        SELECT array_agg(choice.id) FILTER (WHERE brinks <= room), array_agg(choice.shelf) FILTER (WHERE brinks <= room),
          array_agg(choice.kind) FILTER (WHERE brinks <= room), max(choice.id) FILTER (WHERE brinks <= room) + 1, max(brinks) > room,
          least(wanted, sum(choice.size) FILTER (WHERE brinks <= room))
        INTO chosen_ids, chosen_shelves, chosen_kinds, behind, crowded, promised
        FROM (
          SELECT next.*, turn.kind, sum(next.size) OVER (ORDER BY next.id) - next.size AS before,
            count(*) FILTER (WHERE next.crashes >= brink) OVER (ORDER BY next.id) AS brinks
          FROM unnest(level.kinds, level.marks) AS turn (kind, mark)
          CROSS JOIN LATERAL (
            SELECT ticket.id, ticket.shelf, ticket.size, ticket.crashes FROM ${schema}.ticket
            WHERE ticket.queue = queues[asked] AND ticket.kind = turn.kind
              AND ticket.priority = level.priority AND ticket.fresh = level.fresh
              AND ticket.id >= greatest(turn.mark, behind) AND (ticket.crashes < brink OR room > 0)
            ORDER BY ticket.id LIMIT wanted OFFSET 0
          ) next
        ) choice
        WHERE choice.before < wanted;
        EXIT WHEN chosen_ids IS NULL;

        SELECT coalesce(array_agg(grasp.ticket ORDER BY (grasp.ticket).id), '{}'), coalesce(sum((grasp.ticket).size), 0)
        INTO held, surplus FROM (
          SELECT locked.ticket FROM unnest(chosen_ids, chosen_shelves, chosen_kinds) AS choice (id, shelf, kind)
          CROSS JOIN LATERAL (
            SELECT ticket FROM ${schema}.ticket
            WHERE ticket.id = choice.id AND ticket.shelf = choice.shelf AND ticket.queue = queues[asked]
              AND ticket.kind = choice.kind AND ticket.priority = level.priority AND ticket.fresh = level.fresh
            FOR UPDATE SKIP LOCKED OFFSET 0
          ) locked
        ) grasp;
        missed := cardinality(held) < cardinality(chosen_ids);
        contended := contended OR missed;
        -- Who was quicker may have left a part of a ticket.
        missed := missed OR surplus < promised;
        surplus := surplus - wanted;
        wanted := greatest(-surplus, 0);
        IF room > 0 THEN room := room - (SELECT count(*) FROM unnest(held) AS one WHERE one.crashes >= brink); END IF;

        -- Only the last can hold too many: those before it were chosen because they hold fewer than wanted.
        IF surplus > 0 THEN
          grip := held[cardinality(held)];
          held := trim_array(held, 1);
          part := ${schema}.first_jobs(grip.jobs, grip.size - surplus);
          UPDATE ${schema}.ticket SET jobs = ticket.jobs - part, size = surplus WHERE ${isTicket("grip")};
          grip.jobs := part;
          grip.size := grip.size - surplus;
        END IF;
        IF held <> '{}' THEN
          DELETE FROM ${schema}.ticket USING unnest(held) AS choice WHERE ${isTicket("choice")};
          taken := taken || held;
        END IF;
        IF surplus > 0 THEN taken := taken || grip; END IF;
        EXIT WHEN NOT (missed OR crowded);
      END LOOP;
      EXIT WHEN wanted = 0;
    END LOOP;
    CONTINUE WHEN taken = '{}';

    begin_now := cardinality(taken);
    IF aheads[asked] > 0 THEN
      wanted := limits[asked];
      begin_now := 0;
      FOREACH grip IN ARRAY taken LOOP
        EXIT WHEN wanted <= 0;
        wanted := wanted - grip.size;
        begin_now := begin_now + 1;
      END LOOP;
      IF wanted < 0 THEN
        -- The last of them begins in part: it becomes two.
        grip := taken[begin_now];
        rest := grip;
        grip.size := grip.size + wanted;
        grip.jobs := ${schema}.first_jobs(rest.jobs, grip.size);
        rest.size := -wanted;
        rest.jobs := rest.jobs - grip.jobs;
        taken := taken[:begin_now - 1] || grip || rest || taken[begin_now + 1:];
      END IF;
    END IF;

    WITH made AS (
      INSERT INTO ${schema}.lease (id, worker, position, claimed_at, deadline_at, size, begun, jobs, attempt, failures, crashes, deadline_ms, slot, priority, queue, kind)
      SELECT nextval('${schema}.lease_number'), claimer, position, moment, CASE WHEN begun THEN moment + deadline_ms * interval '1 ms' END,
        size, begun, jobs, attempt + 1, failures, crashes, deadline_ms, slot, priority, queue, kind
      FROM (
        SELECT position, begun, sum(size) AS size, range_agg(jobs) AS jobs,
          attempt, failures, crashes, deadline_ms, slot, priority, queue, kind
        FROM (
          SELECT CASE WHEN NOT fresh THEN grip.id END AS position, grip.ordinality <= begin_now AS begun, grip.*
          FROM unnest(taken) WITH ORDINALITY AS grip
        ) taken
        GROUP BY position, begun, attempt, failures, crashes, deadline_ms, slot, priority, queue, kind
        ORDER BY NOT begun, priority, position IS NULL, min(id)
      ) bundle CROSS JOIN (SELECT clock_timestamp() AS moment) now
      RETURNING lease
    )
    SELECT array_agg(made.lease) INTO leases FROM made;

    FOR one_slot IN SELECT DISTINCT l.slot FROM unnest(leases) l LOOP
      CASE greatest(one_slot, 0)${bodies(schema)}
      END CASE;
    END LOOP;
  END LOOP;

  IF contended THEN
    RETURN QUERY SELECT 0, NULL::bigint, NULL::smallint, NULL::bigint, NULL::bigint, NULL::int, NULL::int, NULL::int,
      NULL::text, NULL::text, NULL::smallint, NULL::boolean, NULL::jsonb, NULL::jsonb, NULL::timestamptz, NULL::timestamptz, NULL::bigint, NULL::boolean;
  END IF;
END
$$`
