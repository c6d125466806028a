/**
 * Shows one row per job to people with psql: cheap for one job (`WHERE number = 42`, cheaper with `slot = 7`), and for
 * a page of the newest (`ORDER BY number DESC LIMIT 50`). A body that is over in its slot, or was copied, shows once.
 */
export const view = (schema: string) => `
CREATE VIEW ${schema}.jobs AS
SELECT abs(body.slot) || '-' || body.id AS id, body.id AS number, body.slot, here.place, body.kind, here.queue, here.priority,
  here.attempt, here.failures, here.crashes, body.enqueued_at, here.due, here.reason, body.payload, body.details
FROM ${schema}.job AS body
CROSS JOIN LATERAL (
  SELECT final AS place, coalesce(queue, body.queue) AS queue, coalesce(priority, body.priority) AS priority, attempt,
    NULL::int AS failures, NULL::int AS crashes, NULL::timestamptz AS due, reason
  FROM ${schema}.attempt_end WHERE job = body.id AND slot = body.slot AND final <> 'revived'
  UNION ALL
  SELECT 'waiting', queue, priority, attempt, failures, crashes, expires_at, NULL FROM ${schema}.wait WHERE job = body.id
  UNION ALL
  SELECT 'scheduled', queue, priority, attempt, failures, crashes, run_at, reason FROM ${schema}.timed WHERE job = body.id
  UNION ALL
  SELECT 'ready', queue, priority, attempt, failures, crashes, NULL, NULL FROM ${schema}.ticket WHERE again = body.id
  UNION ALL
  SELECT 'ready', queue, priority, attempt, failures, crashes, NULL, NULL FROM ${schema}.ticket
  WHERE id = body.ticket AND again IS NULL AND jobs @> body.id
  UNION ALL
  SELECT 'running', queue, priority, attempt, failures, crashes, deadline_at, NULL FROM ${schema}.lease
  WHERE jobs @> body.id AND slot = body.slot AND NOT EXISTS (
    SELECT FROM ${schema}.attempt_end AS done
    WHERE done.job = body.id AND done.slot = body.slot AND done.attempt = lease.attempt
  )
  LIMIT 1
) AS here
WHERE here.place NOT IN ('moved', 'dead')
UNION ALL
SELECT abs(slot) || '-' || job, job, slot, 'dead', kind, queue, priority, attempt, failures, crashes, enqueued_at, died_at, reason,
  payload, details
FROM ${schema}.dead`
