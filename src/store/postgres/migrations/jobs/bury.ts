/**
 * Copies bodies and their history to `dead`, after their last end row was written, and tells of it: every death comes
 * through here. The slot is then free to be emptied.
 * Each slot is named in the statement: a generic plan over the whole ring would lock all of it.
 */

/** Lines kept of each stay in one slot, the last ones: a job that looks for something every second has 86,400 a day. */
export const longestHistory = 200

/** A body's history: what it was copied with, then the ends in its slot. A move to the attic is not part of it. */
export const history = (schema: string, slot: string, body: string) => `coalesce(${body}.history, '[]') || coalesce((
        SELECT jsonb_agg(jsonb_strip_nulls(jsonb_build_object(
          'attempt', done.attempt, 'state', done.state, 'worker', done.worker, 'endedAt', done.ended_at, 'ranMs', done.ran_ms,
          'reason', done.reason)) || jsonb_build_object('error', done.error, 'output', done.output) ORDER BY done.attempt)
        FROM (
          SELECT * FROM ${schema}.attempt_end_${slot} AS done WHERE done.job = ${body}.id AND done.state <> 'moved'
          ORDER BY done.attempt DESC LIMIT ${longestHistory}
        ) done
      ), '[]')`

export const bury = (schema: string) => `
CREATE FUNCTION ${schema}.bury(pointers ${schema}.pointer[]) RETURNS void LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  one_slot smallint;
  happened ${schema}.happening[];
BEGIN
  FOR one_slot IN SELECT DISTINCT slot FROM unnest(pointers) LOOP
    EXECUTE replace($sql$
      WITH buried AS (
        INSERT INTO ${schema}.dead (job, enqueued_at, reason, payload, details, history, attempt, failures, crashes, deadline_ms, slot, priority, queue, kind)
        SELECT pointer.job, body.enqueued_at, pointer.reason, body.payload, body.details,
          ${history(schema, "%slot", "body")},
          pointer.attempt, pointer.failures, pointer.crashes, pointer.deadline_ms, pointer.slot, pointer.priority, pointer.queue, pointer.kind
        FROM unnest($1) AS pointer
        CROSS JOIN LATERAL (SELECT * FROM ${schema}.job_%slot AS job WHERE job.id = pointer.job OFFSET 0) body
        WHERE pointer.slot = $2
        RETURNING *
      )
      SELECT array_agg(('died', job, attempt, crashes, slot, queue, kind, reason,
        jsonb_build_object('reason', reason, 'failures', failures, 'rescues', crashes), details)::${schema}.happening ORDER BY job)
      FROM buried
    $sql$, '%slot', greatest(one_slot, 0)::text) INTO happened USING pointers, one_slot;
    PERFORM ${schema}.tell(happened);
  END LOOP;
END
$$`
