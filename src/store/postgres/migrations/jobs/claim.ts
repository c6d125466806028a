import { shelves, slots } from "./tables.ts"

/** Where a ticket is split whose jobs have gaps between them. */
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
        SELECT lease.id, job.id, coalesce(lease.position, job.ticket), job.enqueued_at, job.payload, job.details
        FROM unnest(leases) AS lease CROSS JOIN unnest(lease.jobs) AS run
        CROSS JOIN LATERAL (
          SELECT * FROM ${schema}.job_${slot} AS job WHERE job.id >= lower(run) AND job.id < upper(run) OFFSET 0
        ) job
        WHERE lease.slot = one_slot;`
  ).join("")

/** How many tickets a claim looks at first: as many as nearly always hold enough, and what is read for one. */
const firstReach = 10

/** The next tickets of a kind, in the order of the index. Of two lower bounds a scan begins at one, maybe the wrong one. */
const next = (schema: string, where: string) => `(
                SELECT ticket.id, ticket.turn, ticket.shelf, ticket.ctid AS spot, ticket.size, ticket.crashes FROM ${schema}.ticket
                WHERE ticket.queue = queues[asked] AND ${where} AND (ticket.crashes < brink OR room > 0)
                ORDER BY ticket.queue, ticket.kind, ticket.turn, ticket.id LIMIT reach OFFSET 0
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
                ) bounds
              ) stretch
              CROSS JOIN LATERAL ${next(
                schema,
                `ticket.kind = stretch.kind AND (ticket.turn, ticket.id) >= (stretch.turn, stretch.mark) AND ticket.turn < stretch.end_turn`
              )}`

/** The tickets next in turn, and which of them are on the brink. */
const look = (from: string) => `
          SELECT array_agg(id), array_agg(turn), array_agg(shelf), array_agg(spot), array_agg(size), sum(size), count(*),
            coalesce(array_agg(id) FILTER (WHERE crashes >= brink), '{}')
          INTO ids, in_turns, in_shelves, spots, sizes, chosen, amount, brinks
          FROM (SELECT next.* FROM ${from}
            ORDER BY next.turn, next.id LIMIT reach
          ) first;`

/** One statement per shelf: by the place of a row there is no telling its shelf. */
const perShelf = (statement: (shelf: number) => string) =>
  Array.from(
    { length: shelves },
    (_, shelf) => `
          WHEN ${shelf} THEN${statement(shelf)}`
  ).join("")

/** Takes whole tickets. Of one that was changed since the look its new version is locked, which lies elsewhere and stays. */
const takeWhole = (schema: string) => (shelf: number) =>
  `
            WITH gone AS (
              DELETE FROM ${schema}.ticket_${shelf} AS ticket WHERE ctid = ANY (ARRAY(
                SELECT ctid FROM ${schema}.ticket_${shelf} WHERE ctid = ANY (ARRAY(
                  SELECT spot FROM unnest(spots[:whole], in_shelves[:whole]) AS choice (spot, shelf) WHERE shelf = ${shelf}
                )) FOR UPDATE SKIP LOCKED
              ))
              RETURNING ticket::${schema}.ticket
            )
            SELECT taken || array_agg(gone.ticket), got + coalesce(sum((gone.ticket).size), 0) INTO taken, got FROM gone;`

/** Takes the first jobs of a ticket, as a ticket of their own. */
const takePart = (schema: string) => (shelf: number) =>
  `
            UPDATE ${schema}.ticket_${shelf} AS ticket SET jobs = ticket.jobs - held.jobs, size = surplus
            FROM (
              SELECT spot, size, CASE WHEN upper(jobs) - lower(jobs) = size + surplus
                THEN int8multirange(int8range(lower(jobs), lower(jobs) + size)) ELSE ${schema}.first_jobs(jobs, size) END AS jobs
              FROM (
                SELECT ctid AS spot, size - surplus AS size, jobs
                FROM ${schema}.ticket_${shelf} WHERE ctid = spots[amount] FOR UPDATE SKIP LOCKED OFFSET 0
              ) as_chosen
              WHERE spot = spots[amount] OFFSET 0
            ) held
            WHERE ticket.ctid = held.spot
            RETURNING ticket.id, NULL, ticket.ready_at, held.size, ticket.shelf, ticket.turn, held.jobs, ticket.attempt, ticket.failures,
              ticket.crashes, ticket.deadline_ms, ticket.slot, ticket.priority, ticket.queue, ticket.kind INTO part;
            IF FOUND THEN
              taken := taken || part;
              got := got + part.size;
            END IF;`

/**
 * Takes ready pointers and writes leases. The turns of a queue and kind are its priorities, those that are ready again
 * before fresh ones. A claim that is given marks begins at them (see Turns.ts), one that is given none at the start of
 * each kind.
 *
 * What begins is taken first, then what is held ahead. Each round reads the tickets next in turn, without locks, a few at
 * first and then about as many as hold the jobs wanted, and takes those that nobody else holds or has changed: they are
 * known by the place of their row, where only this version of them is for as long as this statement runs. What others hold
 * they are claiming, and the next round begins behind it. Of those on the brink, which crashed \`brink\` times, a round ends
 * before the first there is no \`room\` for.
 *
 * Answers three sorts of rows: for each lease what all its jobs have in common, for each job its body, both with the
 * ticket it came in as \`ord\`, and one without a lease: how many microseconds it looked, beyond what the tickets it found
 * account for, and of what others held the lowest ticket in each queue and turn: they may leave some of it.
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
  missed jsonb := '[]';
  paused text[];
  begun boolean;
  wanted int;
  reach int;
  after_turn smallint;
  after_id bigint;
  ids bigint[];
  in_turns smallint[];
  in_shelves smallint[];
  spots tid[];
  sizes int[];
  brinks bigint[];
  amount int;
  whole int;
  chosen int;
  surplus int;
  got int;
  part ${schema}.ticket;
  taken ${schema}.ticket[];
  leases ${schema}.lease[] := '{}';
  one_slot smallint;
BEGIN
  SELECT ARRAY(SELECT queue.name FROM ${schema}.queue WHERE queue.name = ANY (claim.queues) AND paused_at IS NOT NULL) INTO paused
  FROM ${schema}.worker WHERE worker.id = claimer AND declared_dead_at IS NULL;
  IF NOT FOUND THEN RETURN; END IF;
  -- See lazily.ts: a claim that a crash forgets was never made.
  IF alone THEN PERFORM set_config('synchronous_commit', 'off', true); END IF;

  FOR asked IN 1 .. cardinality(queues) LOOP
    CONTINUE WHEN queues[asked] = ANY (paused);
    after_turn := -1;
    after_id := 0;
    FOREACH begun IN ARRAY '{t,f}'::boolean[] LOOP
      wanted := CASE WHEN begun THEN limits[asked] ELSE aheads[asked] END;
      reach := least(wanted, ${firstReach});
      taken := '{}';
      FOR round IN 1 .. 10 LOOP
        EXIT WHEN wanted = 0;
        looked := clock_timestamp();
        IF known_queues = '{}' THEN${look(fromStart(schema))}
        ELSE${look(fromMarks(schema))}
        END IF;
        micros := micros + date_part('epoch', clock_timestamp() - looked) * 1e6 - 1.5 * amount;
        EXIT WHEN amount = 0;
        IF chosen < wanted AND amount = reach AND reach < wanted THEN
          -- From the first of these on: as many more as it takes if they go on like this, and then whatever it takes.
          after_turn := in_turns[1];
          after_id := ids[1] - 1;
          reach := CASE WHEN round = 1 THEN least(wanted, reach + ceil((wanted - chosen) * amount / chosen::float8)) ELSE wanted END;
          CONTINUE;
        END IF;

        -- Up to the one that holds the last job wanted, and before the first on the brink there is no room for.
        WHILE chosen - sizes[amount] >= wanted OR cardinality(brinks) > room LOOP
          IF ids[amount] = brinks[cardinality(brinks)] THEN brinks := trim_array(brinks, 1); END IF;
          chosen := chosen - sizes[amount];
          amount := amount - 1;
        END LOOP;
        room := room - cardinality(brinks);
        surplus := greatest(0, chosen - wanted);
        whole := CASE WHEN surplus > 0 THEN amount - 1 ELSE amount END;
        got := 0;
        FOR one_shelf IN 0 .. ${shelves - 1} LOOP
          CONTINUE WHEN NOT one_shelf = ANY (in_shelves[:whole]);
          CASE one_shelf${perShelf(takeWhole(schema))}
          END CASE;
        END LOOP;
        IF surplus > 0 THEN
          CASE in_shelves[amount]${perShelf(takePart(schema))}
          END CASE;
        END IF;

        wanted := wanted - got;
        IF got < chosen - surplus THEN
          missed := missed || (
            SELECT jsonb_agg(jsonb_build_array(queues[asked], turn, id)) FROM (
              SELECT turn, min(id) AS id FROM unnest(ids[:amount], in_turns[:amount]) AS choice (id, turn)
              WHERE id <> ALL (ARRAY(SELECT had.id FROM unnest(taken) AS had)) GROUP BY turn
            ) lowest
          );
        END IF;
        EXIT WHEN got = chosen AND amount = cardinality(ids) AND amount < reach;
        after_turn := in_turns[amount];
        -- What is left of a ticket is next.
        after_id := ids[amount] - (wanted = 0 AND surplus > 0)::int;
      END LOOP;
      IF taken <> '{}' THEN
        WITH made AS (
          INSERT INTO ${schema}.lease (id, worker, position, claimed_at, deadline_at, size, begun, jobs,
            attempt, failures, crashes, deadline_ms, slot, priority, queue, kind)
          SELECT nextval('${schema}.lease_number'), claimer, position, began, CASE WHEN begun THEN began + deadline_ms * interval '1 ms' END,
            size, begun, jobs, attempt + 1, failures, crashes, deadline_ms, slot, priority, queues[asked], kind
          FROM (
            SELECT CASE WHEN again IS NOT NULL THEN id END AS position, sum(size) AS size, range_agg(jobs) AS jobs,
              min(attempt) AS attempt, min(failures) AS failures, min(crashes) AS crashes, deadline_ms, slot, priority, kind
            FROM unnest(taken)
            GROUP BY position, turn, deadline_ms, slot, priority, kind
            ORDER BY turn, min(id)
          ) alike
          RETURNING lease
        )
        SELECT leases || array_agg(made.lease) INTO leases FROM made;
      END IF;
      -- Nothing is held ahead while there is too little to begin with.
      EXIT WHEN wanted > 0;
    END LOOP;
  END LOOP;

  ord := micros;
  moment := began;
  content := missed;
  RETURN NEXT;
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
