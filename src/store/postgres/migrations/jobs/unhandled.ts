/**
 * Names the kinds that have something ready in these queues and are not among these: one look in each gap between the
 * kinds that are, and one more for each kind found. It never enters the part of the index where tickets come and go.
 */
export const unhandled = (schema: string) => `
CREATE FUNCTION ${schema}.unhandled(kinds text[], queues text[]) RETURNS TABLE (queue text, kind text)
LANGUAGE plpgsql STABLE SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_bitmapscan = off
SET jit = off AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
  WITH RECURSIVE gap AS (
    -- Nothing comes after the greatest character there is.
    SELECT asked.queue, served.kind, lead(served.kind, 1, chr(1114111)) OVER (PARTITION BY asked.queue ORDER BY served.kind) AS end_kind
    FROM (SELECT DISTINCT queue COLLATE "C" FROM unnest(queues) AS asked (queue)) AS asked (queue)
    CROSS JOIN (SELECT '' COLLATE "C" UNION SELECT kind COLLATE "C" FROM unnest(kinds) AS served (kind)) AS served (kind)
  ), found AS (
    SELECT first.*, gap.end_kind FROM gap CROSS JOIN LATERAL (
      SELECT ticket.queue, ticket.kind FROM ${schema}.ticket
      WHERE ticket.queue = gap.queue AND ticket.kind > gap.kind AND ticket.kind < gap.end_kind
      ORDER BY ticket.queue, ticket.kind, ticket.turn, ticket.id LIMIT 1
    ) first
    UNION ALL
    SELECT next.*, found.end_kind FROM found CROSS JOIN LATERAL (
      SELECT ticket.queue, ticket.kind FROM ${schema}.ticket
      WHERE ticket.queue = found.queue AND ticket.kind > found.kind AND ticket.kind < found.end_kind
      ORDER BY ticket.queue, ticket.kind, ticket.turn, ticket.id LIMIT 1
    ) next
  )
  SELECT found.queue::text, found.kind::text FROM found LIMIT 100;
END
$$`
