/**
 * Consumes the pointer of one job that stands in one of these places, and answers it. Nothing when it stands elsewhere.
 *
 * It looks in the order in which jobs move, each time with a new snapshot, so that a job on its way from waiting to
 * scheduled to ready is met. A fresh job shares its ticket: the ticket is locked, which waits for the moment a claim
 * holds it, and looked at again.
 */
export const take = (schema: string) => `
CREATE FUNCTION ${schema}.take(wanted bigint, home smallint, places text[])
RETURNS SETOF ${schema}.pointer LANGUAGE plpgsql VOLATILE SET plan_cache_mode = force_generic_plan AS $$
DECLARE
  found_pointer ${schema}.pointer;
  found_ticket ${schema}.ticket;
  first_ticket bigint;
BEGIN
  IF 'waiting' = ANY (places) THEN
    DELETE FROM ${schema}.wait AS w WHERE w.job = wanted
    RETURNING w.job, w.attempt, w.failures, w.crashes, w.deadline_ms, w.slot, w.priority, w.queue, w.kind INTO found_pointer;
    IF FOUND THEN RETURN NEXT found_pointer; RETURN; END IF;
  END IF;
  IF 'scheduled' = ANY (places) THEN
    DELETE FROM ${schema}.timed AS t WHERE t.job = wanted
    RETURNING t.job, t.attempt, t.failures, t.crashes, t.deadline_ms, t.slot, t.priority, t.queue, t.kind INTO found_pointer;
    IF FOUND THEN RETURN NEXT found_pointer; RETURN; END IF;
  END IF;
  IF 'ready' = ANY (places) THEN
    DELETE FROM ${schema}.ticket AS t WHERE t.again = wanted
    RETURNING t.again, t.attempt, t.failures, t.crashes, t.deadline_ms, t.slot, t.priority, t.queue, t.kind INTO found_pointer;
    IF FOUND THEN RETURN NEXT found_pointer; RETURN; END IF;

    EXECUTE format(
      'SELECT ticket FROM ${schema}.job_0 WHERE id = $1 UNION ALL SELECT ticket FROM ${schema}.job_%s WHERE id = $1 LIMIT 1', home
    ) INTO first_ticket USING wanted;
    SELECT * INTO found_ticket FROM ${schema}.ticket WHERE id = first_ticket AND again IS NULL FOR UPDATE;
    IF found_ticket.jobs @> wanted THEN
      IF found_ticket.size = 1 THEN
        DELETE FROM ${schema}.ticket WHERE id = found_ticket.id AND shelf = found_ticket.shelf;
      ELSE
        UPDATE ${schema}.ticket SET jobs = jobs - int8multirange(int8range(wanted, wanted, '[]')), size = size - 1
        WHERE id = found_ticket.id AND shelf = found_ticket.shelf;
      END IF;
      RETURN NEXT (wanted, found_ticket.attempt, found_ticket.failures, found_ticket.crashes, found_ticket.deadline_ms,
        found_ticket.slot, found_ticket.priority, found_ticket.queue, found_ticket.kind, NULL)::${schema}.pointer;
    END IF;
  END IF;
END
$$`
