/**
 * Enqueues from psql, a trigger or another language, by the rules the library holds to. What a kind declares in code
 * is not known here: name the queue and the rest. The notification is part of the transaction.
 */
export const enqueue = (schema: string) => `
CREATE FUNCTION ${schema}.enqueue(
  kind text,
  payload jsonb DEFAULT 'null',
  queue text DEFAULT 'default',
  priority int DEFAULT 5,
  delay interval DEFAULT NULL,
  run_at timestamptz DEFAULT NULL,
  deadline interval DEFAULT NULL,
  max_attempts int DEFAULT NULL,
  tags text[] DEFAULT NULL,
  metadata jsonb DEFAULT NULL,
  unique_key text DEFAULT NULL,
  on_conflict text DEFAULT 'keep'
) RETURNS text LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  given_details jsonb := nullif(jsonb_strip_nulls(jsonb_build_object('maxAttempts', max_attempts, 'tags', tags, 'metadata', metadata)), '{}');
  -- For ever is some 30,000 years: what is longer could not be added to a time by whoever claims the job.
  deadline_ms bigint := CASE WHEN deadline IS NOT NULL THEN least(ceil(extract(epoch FROM deadline) * 1000), 1e15) END;
  delay_ms bigint := CASE WHEN delay IS NOT NULL THEN least(ceil(extract(epoch FROM delay) * 1000), 1e15) END;
  due timestamptz := CASE WHEN run_at IS NOT NULL THEN least(run_at, clock_timestamp() + interval '30000 years') END;
  number bigint;
  home smallint;
BEGIN
  IF coalesce(kind, '') !~ '[^[:space:]]' OR octet_length(kind) > 256 THEN
    RAISE EXCEPTION 'kind is "%": a kind has a name of at most 256 bytes', kind USING ERRCODE = 'invalid_parameter_value';
  ELSIF coalesce(queue, '') !~ '[^[:space:]]' OR octet_length(queue) > 256 THEN
    RAISE EXCEPTION 'queue is "%": a queue has a name of at most 256 bytes', queue USING ERRCODE = 'invalid_parameter_value';
  ELSIF priority IS NULL OR priority NOT BETWEEN 0 AND 9 THEN
    RAISE EXCEPTION 'priority is %: it goes from 0, first, to 9, last', priority USING ERRCODE = 'invalid_parameter_value';
  ELSIF delay IS NOT NULL AND run_at IS NOT NULL THEN
    RAISE EXCEPTION 'delay and run_at are both given: give one' USING ERRCODE = 'invalid_parameter_value';
  ELSIF deadline_ms <= 0 THEN
    RAISE EXCEPTION 'deadline is %: it is a time to come, counted from each claim', deadline USING ERRCODE = 'invalid_parameter_value';
  ELSIF max_attempts < 1 THEN
    RAISE EXCEPTION 'max_attempts is %: at least one attempt is made', max_attempts USING ERRCODE = 'invalid_parameter_value';
  ELSIF unique_key IS NOT NULL AND (unique_key !~ '[^[:space:]]' OR octet_length(unique_key) > 256) THEN
    RAISE EXCEPTION 'unique_key is "%": a key is not blank and has at most 256 bytes', unique_key USING ERRCODE = 'invalid_parameter_value';
  ELSIF on_conflict IS NULL OR on_conflict NOT IN ('keep', 'replace', 'debounce', 'merge') THEN
    RAISE EXCEPTION 'on_conflict is "%": it is keep, replace, debounce or merge', on_conflict USING ERRCODE = 'invalid_parameter_value';
  ELSIF on_conflict = 'debounce' AND delay IS NULL AND run_at IS NULL THEN
    RAISE EXCEPTION 'debounce needs a delay or run_at to push the job back to' USING ERRCODE = 'invalid_parameter_value';
  ELSIF octet_length(payload::text) > 1048576 THEN
    RAISE EXCEPTION 'the payload has % bytes: keep it under 1048576 and store what is larger elsewhere', octet_length(payload::text)
      USING ERRCODE = 'invalid_parameter_value';
  ELSIF octet_length(given_details::text) > 65536 THEN
    RAISE EXCEPTION 'tags and metadata have % bytes: keep them under 65536 and store what is larger elsewhere', octet_length(given_details::text)
      USING ERRCODE = 'invalid_parameter_value';
  END IF;

  IF unique_key IS NULL THEN
    SELECT ids[1], slots[1] INTO number, home FROM ${schema}.enqueue_many(
      ARRAY[kind], ARRAY[queue], ARRAY[priority::smallint], ARRAY[coalesce(payload, 'null')::text], ARRAY[given_details],
      ARRAY[deadline_ms], ARRAY[due], ARRAY[delay_ms]);
  ELSE
    SELECT made.number, made.home INTO number, home FROM ${schema}.enqueue_unique(
      kind, queue, priority::smallint, coalesce(payload, 'null')::text, given_details, deadline_ms, due, delay_ms,
      unique_key, NULL,
      CASE WHEN on_conflict IN ('debounce', 'merge') THEN '{scheduled,ready,waiting}'::text[] ELSE '{scheduled,ready,running,waiting}' END,
      NULL, on_conflict) AS made;
  END IF;
  IF (run_at IS NULL OR run_at <= clock_timestamp()) AND coalesce(delay_ms, 0) <= 0 THEN
    PERFORM pg_notify('${schema.slice(1, -1)}_wake', queue);
  END IF;
  RETURN home || '-' || number;
END
$$`
