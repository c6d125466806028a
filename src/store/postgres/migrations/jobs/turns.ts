/**
 * Finds the turns that have something ready, each with the lowest ticket that is still there: the marks at which claims
 * begin while consumed tickets, which a pinned snapshot keeps in the index, are dear to walk over. In the turns that are
 * known it begins at their own marks, and between them at the start, for there may be new ones.
 */
export const turns = (schema: string) => `
CREATE FUNCTION ${schema}.turns(
  kinds text[], queues text[], known_queues text[], known_kinds text[], known_turns smallint[], known_marks bigint[]
)
RETURNS TABLE (queue text, kind text, turn smallint, mark bigint)
LANGUAGE plpgsql STABLE SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_bitmapscan = off
SET jit = off AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
  WITH RECURSIVE stretch AS (
    SELECT queue, kind, turn, mark, lead(turn, 1, 20::smallint) OVER (PARTITION BY queue, kind ORDER BY turn, mark) AS end_turn
    FROM (
      SELECT queue, kind, 0::smallint AS turn, 0::bigint AS mark FROM unnest(queues) AS asked (queue) CROSS JOIN unnest(kinds) AS served (kind)
      UNION ALL
      SELECT * FROM unnest(known_queues, known_kinds, known_turns, known_marks)
    ) edge
  ), seen AS (
    SELECT first.*, stretch.end_turn FROM stretch CROSS JOIN LATERAL (
      SELECT ticket.queue, ticket.kind, ticket.turn, ticket.id FROM ${schema}.ticket
      WHERE ticket.queue = stretch.queue AND ticket.kind = stretch.kind
        AND (ticket.turn, ticket.id) >= (stretch.turn, stretch.mark) AND ticket.turn < stretch.end_turn
      ORDER BY ticket.queue, ticket.kind, ticket.turn, ticket.id LIMIT 1
    ) first
    UNION ALL
    SELECT next.*, seen.end_turn FROM seen CROSS JOIN LATERAL (
      SELECT ticket.queue, ticket.kind, ticket.turn, ticket.id FROM ${schema}.ticket
      WHERE ticket.queue = seen.queue AND ticket.kind = seen.kind AND ticket.turn > seen.turn AND ticket.turn < seen.end_turn
      ORDER BY ticket.queue, ticket.kind, ticket.turn, ticket.id LIMIT 1
    ) next
  )
  SELECT seen.queue::text, seen.kind::text, seen.turn, seen.id FROM seen;
END
$$`
