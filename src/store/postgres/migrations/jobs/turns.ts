/**
 * Finds the turns that have something ready, each with the lowest ticket that is still there: the marks at which claims
 * begin while consumed tickets, which a pinned snapshot keeps in the index, are dear to walk over.
 */
export const turns = (schema: string) => `
CREATE FUNCTION ${schema}.turns(kinds text[], queues text[])
RETURNS TABLE (queue text, kind text, turn smallint, mark bigint)
LANGUAGE plpgsql STABLE SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_bitmapscan = off AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
  WITH RECURSIVE seen AS (
    SELECT first.* FROM unnest(queues) AS asked (queue) CROSS JOIN unnest(kinds) AS served (kind) CROSS JOIN LATERAL (
      SELECT ticket.queue, ticket.kind, ticket.turn, ticket.id FROM ${schema}.ticket
      WHERE ticket.queue = asked.queue AND ticket.kind = served.kind
      ORDER BY ticket.queue, ticket.kind, ticket.turn, ticket.id LIMIT 1
    ) first
    UNION ALL
    SELECT next.* FROM seen CROSS JOIN LATERAL (
      SELECT ticket.queue, ticket.kind, ticket.turn, ticket.id FROM ${schema}.ticket
      WHERE ticket.queue = seen.queue AND ticket.kind = seen.kind AND ticket.turn > seen.turn
      ORDER BY ticket.queue, ticket.kind, ticket.turn, ticket.id LIMIT 1
    ) next
  )
  SELECT seen.queue::text, seen.kind::text, seen.turn, seen.id FROM seen;
END
$$`
