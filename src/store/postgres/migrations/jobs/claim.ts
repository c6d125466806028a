import { shelves, slots } from "./tables.ts"

/** Where a ticket is split. */
export const firstJobs = (schema: string) => `
CREATE FUNCTION ${schema}.first_jobs(jobs int8multirange, wanted int) RETURNS int8multirange LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
  IF upper(jobs) - lower(jobs) = (SELECT sum(upper(run) - lower(run)) FROM unnest(jobs) AS run) THEN
    RETURN int8multirange(int8range(lower(jobs), lower(jobs) + wanted));
  END IF;
  RETURN coalesce((
    SELECT range_agg(int8range(lower(run), least(upper(run), lower(run) + wanted - before))) FROM (
      SELECT run, (sum(upper(run) - lower(run)) OVER (ORDER BY run))::bigint - upper(run) + lower(run) AS before
      FROM unnest(jobs) AS run
    ) first WHERE before < wanted
  ), '{}');
END
$$`

/** One statement per slot: each is planned when it is first used, and locks nothing of the other slots. */
const bodies = (schema: string) =>
  Array.from(
    { length: slots + 1 },
    (_, slot) => `
      WHEN ${slot} THEN RETURN QUERY
        SELECT lease.id, job.id, coalesce(lease.position, job.ticket), job.enqueued_at, job.payload, job.details
        FROM unnest(leases) AS lease CROSS JOIN unnest(lease.jobs) AS run
        CROSS JOIN LATERAL (
          SELECT * FROM ${schema}.job_${slot} AS job WHERE job.id >= lower(run) AND job.id < upper(run) OFFSET 0
        ) job
        WHERE lease.slot = one_slot;`
  ).join("")

/** The next tickets of a kind, in the order of the index. Of two lower bounds a scan begins at one, maybe the wrong one. */
const next = (schema: string, where: string) => `(
                SELECT ticket.id, ticket.turn, ticket.shelf, ticket.ctid AS spot, ticket.size, ticket.crashes FROM ${schema}.ticket
                WHERE ticket.queue = queues[asked] AND ${where} AND (ticket.crashes < brink OR room > 0)
                ORDER BY ticket.queue, ticket.kind, ticket.turn, ticket.id LIMIT wanted OFFSET 0
              ) next`

const fromStart = (schema: string) => `unnest(kinds) AS served (kind)
              CROSS JOIN LATERAL ${next(schema, "ticket.kind = served.kind AND (ticket.turn, ticket.id) > (after_turn, after_id)")}`

/** From each mark up to the next turn that is known, and from the start of each kind up to the first. */
const fromMarks = (schema: string) => `(
                SELECT kind, end_turn, CASE WHEN behind THEN after_turn ELSE turn END AS turn, CASE WHEN behind THEN after_id + 1 ELSE mark END AS mark
                FROM (
                  SELECT kind, turn, mark, (after_turn, after_id) >= (turn, mark) AS behind,
                    lead(turn, 1, 20::smallint) OVER (PARTITION BY kind ORDER BY turn, mark) AS end_turn
                  FROM (
                    SELECT kind, 0::smallint AS turn, 0::bigint AS mark FROM unnest(kinds) AS served (kind)
                    UNION ALL
                    SELECT kind, turn, mark FROM unnest(known_queues, known_kinds, known_turns, known_marks) AS known (queue, kind, turn, mark)
                    WHERE queue = queues[asked] AND kind = ANY (kinds)
                  ) edge
                ) reach
              ) stretch
              CROSS JOIN LATERAL ${next(
                schema,
                `ticket.kind = stretch.kind AND (ticket.turn, ticket.id) >= (stretch.turn, stretch.mark) AND ticket.turn < stretch.end_turn`
              )}`

/** The tickets next in turn, with how many jobs of each begin at once. */
const choose = (from: string) => `
          SELECT array_agg(choice.id), array_agg(choice.shelf), array_agg(choice.spot), array_agg(choice.size),
            array_agg(least(choice.size, greatest(0, begin_left - choice.before))::int),
            sum(choice.size), max(choice.turn), max(choice.brinks) > room, max(choice.brinks) FILTER (WHERE choice.brinks <= room)
          INTO ids, in_shelves, spots, sizes, cuts, chosen, last_turn, crowded, on_brink
          FROM (
            SELECT next.*, sum(next.size) OVER turns - next.size AS before, count(*) FILTER (WHERE next.crashes >= brink) OVER turns AS brinks
            FROM ${from}
            WINDOW turns AS (ORDER BY next.turn, next.id ROWS UNBOUNDED PRECEDING)
          ) choice
          WHERE choice.before < wanted AND (choice.brinks <= room OR choice.brinks = room + 1 AND choice.crashes >= brink);`

/** A ticket as it was chosen, locked: nothing where somebody holds it or has changed it since. */
const grasp = (schema: string, shelf: number, columns: string, at: (column: string) => string) => `
              SELECT ${columns} FROM ${schema}.ticket_${shelf} AS ticket
              WHERE ticket.ctid = ${at("spot")} AND ticket.id = ${at("id")} AND ticket.size = ${at("size")}
              FOR UPDATE SKIP LOCKED OFFSET 0`

/** One statement per shelf: by the place of a row there is no telling its shelf. */
const perShelf = (statement: (shelf: number) => string) =>
  Array.from(
    { length: shelves },
    (_, shelf) => `
          WHEN ${shelf} THEN${statement(shelf)}`
  ).join("")

/** Takes the first jobs of the last ticket. */
const takeFirst = (schema: string) => (shelf: number) =>
  `
            SELECT (held.ticket).* INTO grip FROM (${grasp(schema, shelf, "ticket, ticket.ctid AS spot", (column) => `${column}s[amount]`)}
            ) held WHERE held.spot = spots[amount];
            IF FOUND THEN
              part := ${schema}.first_jobs(grip.jobs, (grip.size - surplus)::int);
              UPDATE ${schema}.ticket_${shelf} SET jobs = jobs - part, size = surplus WHERE ctid = spots[amount];
            END IF;`

/** Takes whole tickets, and puts the jobs of those that are alike together. */
const takeWhole = (schema: string) => (shelf: number) =>
  `
            WITH gone AS (
              DELETE FROM ${schema}.ticket_${shelf} AS ticket USING (
                SELECT choice.spot, choice.cut
                FROM unnest(ids[:amount], in_shelves[:amount], spots[:amount], sizes[:amount], cuts[:amount]) AS choice (id, shelf, spot, size, cut)
                CROSS JOIN LATERAL (${grasp(schema, shelf, "ticket.ctid AS spot", (column) => `choice.${column}`)}
                ) held WHERE choice.shelf = ${shelf} AND held.spot = choice.spot
              ) grasped
              WHERE ticket.ctid = grasped.spot
              RETURNING ticket.*, grasped.cut
            ), piece AS (
              SELECT id, again, true AS begun, cut AS size, CASE WHEN cut = size THEN jobs ELSE ${schema}.first_jobs(jobs, cut) END AS jobs,
                attempt, failures, crashes, deadline_ms, slot, priority, kind FROM gone WHERE cut > 0
              UNION ALL
              SELECT id, again, false, size - cut, CASE WHEN cut = 0 THEN jobs ELSE jobs - ${schema}.first_jobs(jobs, cut) END,
                attempt, failures, crashes, deadline_ms, slot, priority, kind FROM gone WHERE cut < size
            )
            SELECT taken || array_agg((min, claimer, position, began, NULL, size, begun, jobs, NULL,
              attempt, failures, crashes, deadline_ms, slot, priority, queues[asked], kind)::${schema}.lease),
              got + coalesce(sum(size), 0), got_begun + coalesce(sum(size) FILTER (WHERE begun), 0)
            INTO taken, got, got_begun
            FROM (
              SELECT min(id), CASE WHEN again IS NOT NULL THEN id END AS position, begun, sum(size) AS size, range_agg(jobs) AS jobs,
                min(attempt) AS attempt, min(failures) AS failures, min(crashes) AS crashes, deadline_ms, slot, priority, kind
              FROM piece GROUP BY position, begun, deadline_ms, slot, priority, kind
            ) bundle;`

/**
 * Takes ready pointers and writes leases. The turns of a queue and kind are its priorities, those that are ready again
 * before fresh ones. A claim that is given marks begins at them (see Turns.ts), one that is given none at the start of
 * each kind.
 *
 * Each round reads the tickets next in turn, without locks and only as many as hold the jobs wanted, then takes those
 * that nobody else holds or has changed: they are remembered by the place of their row, where only this version of them
 * is. What others hold they are claiming, and the next round begins behind it. Of those on the brink, which crashed
 * \`brink\` times, a round ends before the first there is no \`room\` for.
 *
 * Answers three sorts of rows: for each lease what all its jobs have in common, for each job its body, both with the
 * ticket it came in as \`ord\`, and one without a lease: how many microseconds it looked, beyond what the tickets it found
 * account for, and whether others held what it wanted.
 */
export const claim = (schema: string) => `
CREATE FUNCTION ${schema}.claim(
  claimer bigint, kinds text[], queues text[], limits int[], aheads int[], brink int, room int, alone boolean,
  known_queues text[], known_kinds text[], known_turns smallint[], known_marks bigint[],
  OUT lease bigint, OUT job bigint, OUT ord bigint, OUT moment timestamptz, OUT content jsonb, OUT details jsonb
) RETURNS SETOF record LANGUAGE plpgsql VOLATILE
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_bitmapscan = off
SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off AS $$
#variable_conflict use_column
DECLARE
  began timestamptz := clock_timestamp();
  looked timestamptz;
  micros float8 := 0;
  contended boolean := false;
  paused text[];
  wanted int;
  begin_left int;
  after_turn smallint;
  after_id bigint;
  last_turn smallint;
  ids bigint[];
  in_shelves smallint[];
  spots tid[];
  sizes int[];
  cuts int[];
  chosen bigint;
  crowded boolean;
  on_brink bigint;
  amount int;
  surplus bigint;
  grip ${schema}.ticket;
  part int8multirange;
  taken ${schema}.lease[];
  leases ${schema}.lease[] := '{}';
  got int;
  got_begun int;
  begun boolean;
  one_slot smallint;
BEGIN
  PERFORM FROM ${schema}.worker WHERE worker.id = claimer AND declared_dead_at IS NULL;
  IF NOT FOUND THEN RETURN; END IF;
  -- See lazily.ts: a claim that a crash forgets was never made.
  IF alone THEN PERFORM set_config('synchronous_commit', 'off', true); END IF;
  SELECT array_agg(queue.name) INTO paused FROM ${schema}.queue WHERE queue.name = ANY (queues) AND paused_at IS NOT NULL;

  FOR asked IN 1 .. cardinality(queues) LOOP
    CONTINUE WHEN queues[asked] = ANY (paused);
    wanted := limits[asked] + aheads[asked];
    begin_left := limits[asked];
    after_turn := -1;
    after_id := 0;
    taken := '{}';

    FOR round IN 1 .. 8 LOOP
      looked := clock_timestamp();
      IF known_queues = '{}' THEN${choose(fromStart(schema))}
      ELSE${choose(fromMarks(schema))}
      END IF;
      amount := coalesce(cardinality(ids), 0);
      micros := micros + extract(epoch FROM clock_timestamp() - looked) * 1e6 - 3 * amount;
      EXIT WHEN amount = 0;
      after_turn := last_turn;
      after_id := ids[amount];
      IF crowded THEN
        -- The last is the one there is no room for.
        chosen := chosen - sizes[amount];
        amount := amount - 1;
        EXIT WHEN amount = 0;
      END IF;
      room := room - on_brink;

      got := 0;
      got_begun := 0;
      surplus := chosen - wanted;
      IF surplus > 0 THEN
        -- Only the last can hold too many: those before it were chosen because they hold fewer than wanted.
        CASE in_shelves[amount]${perShelf(takeFirst(schema))}
        END CASE;
        IF grip.id IS NOT NULL THEN
          got := grip.size - surplus;
          got_begun := cuts[amount];
          FOREACH begun IN ARRAY '{t,f}'::boolean[] LOOP
            CONTINUE WHEN CASE WHEN begun THEN got_begun = 0 ELSE got_begun = got END;
            taken := taken || (grip.id, claimer, NULL, began, NULL, CASE WHEN begun THEN got_begun ELSE got - got_begun END, begun,
              CASE WHEN begun THEN ${schema}.first_jobs(part, got_begun) ELSE part - ${schema}.first_jobs(part, got_begun) END, NULL,
              grip.attempt, grip.failures, grip.crashes, grip.deadline_ms, grip.slot, grip.priority, grip.queue, grip.kind)::${schema}.lease;
          END LOOP;
        END IF;
        amount := amount - 1;
      END IF;
      FOR one_shelf IN 0 .. ${shelves - 1} LOOP
        CONTINUE WHEN NOT one_shelf = ANY (in_shelves[:amount]);
        CASE one_shelf${perShelf(takeWhole(schema))}
        END CASE;
      END LOOP;

      wanted := wanted - got;
      begin_left := begin_left - got_begun;
      EXIT WHEN wanted = 0;
      IF got < chosen - greatest(0, surplus) THEN
        contended := true;
      ELSE
        EXIT WHEN NOT crowded;
      END IF;
    END LOOP;
    CONTINUE WHEN taken = '{}';

    WITH made AS (
      INSERT INTO ${schema}.lease (id, worker, position, claimed_at, deadline_at, size, begun, jobs,
        attempt, failures, crashes, deadline_ms, slot, priority, queue, kind)
      SELECT nextval('${schema}.lease_number'), claimer, position, began, CASE WHEN begun THEN began + deadline_ms * interval '1 ms' END,
        size, begun, jobs, attempt + 1, failures, crashes, deadline_ms, slot, priority, queue, kind
      FROM (
        SELECT position, begun, sum(size) AS size, range_agg(jobs) AS jobs,
          min(attempt) AS attempt, min(failures) AS failures, min(crashes) AS crashes, deadline_ms, slot, priority, queue, kind
        FROM unnest(taken) AS bundle
        GROUP BY position, begun, deadline_ms, slot, priority, queue, kind
        ORDER BY NOT begun, priority, position IS NULL, min(id)
      ) alike
      RETURNING lease
    )
    SELECT leases || array_agg(made.lease) INTO leases FROM made;
  END LOOP;

  RETURN QUERY SELECT NULL::bigint, NULL::bigint, micros::bigint, began, to_jsonb(contended), NULL::jsonb;
  RETURN QUERY SELECT one.id, NULL::bigint, one.position, began, jsonb_build_object(
    'slot', one.slot, 'kind', one.kind, 'queue', one.queue, 'priority', one.priority, 'attempt', one.attempt,
    'failures', one.failures, 'crashes', one.crashes, 'deadline', one.deadline_ms, 'begun', one.begun
  ), NULL::jsonb FROM unnest(leases) AS one;
  FOR one_slot IN SELECT DISTINCT l.slot FROM unnest(leases) l LOOP
    CASE greatest(one_slot, 0)${bodies(schema)}
    END CASE;
  END LOOP;
END
$$`
