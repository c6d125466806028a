/**
 * Functions for what the planner would take for dearer than it is: a hundred thousand rows for every multirange that is
 * listed, and a look into every slot for each of them, although one is opened. A server with `jit` on, as most are, would
 * compile such a statement first, which takes seconds, and a client's own connections are not ours to set up.
 */

/** The numbers in a multirange. What is inlined loses its ROWS: a function that is STRICT is not. */
const members = (schema: string) => `
CREATE FUNCTION ${schema}.members(jobs int8multirange) RETURNS SETOF bigint LANGUAGE sql IMMUTABLE STRICT ROWS 10 AS $$
  SELECT generate_series(lower(run), upper(run) - 1) FROM unnest(jobs) AS run
$$`

/** Those of a lease's jobs whose attempt has ended. */
const ended = (schema: string) => `
CREATE FUNCTION ${schema}.ended(jobs int8multirange, attempt int, slot smallint) RETURNS int8multirange
LANGUAGE plpgsql STABLE STRICT SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET jit = off AS $$
BEGIN
  RETURN (
    SELECT coalesce(range_agg(int8range(done.job, done.job, '[]')), '{}') FROM unnest(jobs) AS run CROSS JOIN LATERAL (
      SELECT done.job FROM ${schema}.attempt_end AS done
      WHERE done.job >= lower(run) AND done.job < upper(run) AND done.attempt = ended.attempt AND done.slot = ended.slot OFFSET 0
    ) AS done
  );
END
$$`

/**
 * The newest jobs below a number that are over, of one queue if one is named. That stands in the end where it can differ
 * from the body's. Where they are few it reads what is between, and is dear indeed.
 */
const over = (schema: string) => `
CREATE FUNCTION ${schema}.over(place text, below bigint, most bigint, of_queue text) RETURNS TABLE (job bigint, slot smallint)
LANGUAGE plpgsql STABLE ROWS 100 SET plan_cache_mode = force_custom_plan SET jit = off AS $$
BEGIN
  RETURN QUERY SELECT done.job, done.slot FROM ${schema}.attempt_end AS done
  WHERE done.job < below AND done.final = place AND (of_queue IS NULL OR of_queue = coalesce(
    done.queue, (SELECT body.queue FROM ${schema}.job AS body WHERE body.id = done.job AND body.slot = done.slot)
  ))
  ORDER BY done.job DESC LIMIT most;
END
$$`

export const estimates = (schema: string): ReadonlyArray<string> => [members(schema), ended(schema), over(schema)]
