/** Each part of the keys is written anew by itself: there may be so many that copying all of them would take long. */
export const keyParts = 8

/**
 * Enqueues a job under a key, unless the key's last job stands where it counts.
 *
 * The row of a key is locked for the rest of the transaction, so that callers with one key go one after another, and
 * each decides in a statement of its own, with a snapshot taken after the wait. A key is never given back: where its job
 * stands is looked up when the next one comes, and no outcome pays for it. Within a period a job that has passed its
 * retention counts as completed.
 *
 * It runs as the schema's owner, for those who were granted it: to see where a job stands a producer would need to read
 * what it must not.
 */
export const enqueueUnique = (schema: string): ReadonlyArray<string> => [
  `CREATE TABLE ${schema}.unique_key (
  kind text COLLATE "C" NOT NULL,
  key text COLLATE "C" NOT NULL,
  job bigint,
  slot smallint,
  enqueued_at timestamptz,
  until timestamptz,
  PRIMARY KEY (kind, key)
) PARTITION BY HASH (kind, key)`,
  ...Array.from(
    { length: keyParts },
    (_, part) => `CREATE TABLE ${schema}.unique_key_${part} PARTITION OF ${schema}.unique_key
FOR VALUES WITH (MODULUS ${keyParts}, REMAINDER ${part})`
  ),
  `COMMENT ON TABLE ${schema}.unique_key IS 'Uniqueness: the last job enqueued under each key. A row whose job is gone is free, unless it counts for a period: until then.'`,

  `CREATE FUNCTION ${schema}.unique_key_of(payload jsonb, key text, fields text[]) RETURNS text LANGUAGE sql IMMUTABLE AS $$
  SELECT CASE
    WHEN key IS NOT NULL THEN 'key ' || key
    WHEN fields IS NOT NULL THEN 'fields ' || encode(sha256(convert_to((
      SELECT jsonb_object_agg(field, payload -> field) FROM unnest(fields) AS field
    )::text, 'UTF8')), 'hex')
    ELSE 'payload ' || encode(sha256(convert_to(payload::text, 'UTF8')), 'hex')
  END
$$`,

  `CREATE FUNCTION ${schema}.place_of(wanted bigint, home smallint) RETURNS text LANGUAGE sql VOLATILE AS $$
  SELECT coalesce(
    (SELECT 'dead' FROM ${schema}.dead WHERE job = wanted),
    (SELECT 'waiting' FROM ${schema}.wait WHERE job = wanted),
    (SELECT 'scheduled' FROM ${schema}.timed WHERE job = wanted),
    (SELECT 'ready' FROM ${schema}.ticket WHERE again = wanted LIMIT 1),
    (SELECT final FROM ${schema}.attempt_end
      WHERE job = wanted AND slot IN (home, -home) AND final IN ('completed', 'cancelled') LIMIT 1),
    (SELECT CASE WHEN EXISTS (SELECT FROM ${schema}.ticket WHERE ticket.id = job.ticket AND again IS NULL AND jobs @> wanted)
        THEN 'ready' ELSE 'running' END
      FROM ${schema}.job WHERE job.id = wanted AND job.slot IN (home, -home) AND NOT EXISTS (
        SELECT FROM ${schema}.attempt_end AS done
        WHERE done.job = wanted AND done.slot = job.slot AND done.final IN ('dead', 'moved')
      ) LIMIT 1)
  )
$$`,

  `CREATE FUNCTION ${schema}.enqueue_unique(
  new_kind text, new_queue text, new_priority smallint, new_payload text, new_details jsonb,
  new_deadline bigint, new_run_at timestamptz, new_run_in bigint,
  by_key text, by_fields text[], places text[], period_ms bigint, on_conflict text,
  OUT number bigint, OUT home smallint, OUT outcome text, OUT former bigint, OUT former_home smallint
) LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  full_key text := ${schema}.unique_key_of(new_payload::jsonb, by_key, by_fields);
  holder ${schema}.unique_key;
  place text;
  taken ${schema}.pointer;
BEGIN
  LOOP
    INSERT INTO ${schema}.unique_key (kind, key) VALUES (new_kind, full_key) ON CONFLICT DO NOTHING;
    SELECT * INTO holder FROM ${schema}.unique_key WHERE kind = new_kind AND key = full_key FOR UPDATE;
    EXIT WHEN FOUND;
  END LOOP;
  outcome := 'enqueued';

  -- To a transaction with one snapshot a table that was written anew since is empty (see rewrite.ts), and no place is told.
  IF current_setting('transaction_isolation') <> 'read committed' AND EXISTS (
    SELECT FROM pg_class WHERE oid IN ('${schema}.timed'::regclass, '${schema}.wait'::regclass) AND relfilenode <> pg_relation_filenode(oid)
  ) THEN
    RAISE EXCEPTION 'a table was written anew since this transaction took its snapshot: run it again' USING ERRCODE = 'serialization_failure';
  END IF;

  LOOP
    place := CASE WHEN holder.job IS NOT NULL
      AND (period_ms IS NULL OR holder.enqueued_at + period_ms * interval '1 ms' > clock_timestamp())
      THEN coalesce(${schema}.place_of(holder.job, holder.slot), CASE WHEN period_ms IS NOT NULL THEN 'completed' END) END;
    EXIT WHEN place IS NULL OR place <> ALL (places);

    IF on_conflict IN ('replace', 'merge') THEN
      SELECT * INTO taken FROM ${schema}.take(holder.job, holder.slot, '{waiting,scheduled,ready}');
      IF FOUND THEN
        IF on_conflict = 'merge' THEN
          SELECT CASE WHEN jsonb_typeof(payload) = 'object' AND jsonb_typeof(new_payload::jsonb) = 'object'
            THEN (payload || new_payload::jsonb)::text ELSE new_payload END INTO new_payload FROM ${schema}.job
          WHERE id = holder.job AND slot IN (holder.slot, -holder.slot) LIMIT 1;
        END IF;
        INSERT INTO ${schema}.attempt_end (job, attempt, slot, state, final, queue, priority, reason)
        VALUES (taken.job, taken.attempt + 1, taken.slot, 'cancelled', 'cancelled', taken.queue, taken.priority,
          CASE on_conflict WHEN 'merge' THEN 'merged into the next one under its key' ELSE 'replaced by the next one under its key' END);
        outcome := on_conflict || 'd';
      ELSIF place = 'running' THEN
        -- It is marked as a cancel marks it. What it has become meanwhile, the next look tells.
        UPDATE ${schema}.lease
        SET cancelling = jsonb_build_object(holder.job::text, 'replaced by the next one under its key') || coalesce(cancelling, '{}')
        WHERE jobs @> holder.job;
        CONTINUE WHEN ${schema}.place_of(holder.job, holder.slot) IS DISTINCT FROM 'running';
        outcome := 'replaced';
      ELSE
        CONTINUE WHEN place IN ('waiting', 'scheduled', 'ready');
        outcome := 'replaced';
      END IF;
      former := holder.job;
      former_home := holder.slot;
      EXIT;
    END IF;

    IF on_conflict = 'debounce' AND place = 'scheduled' THEN
      SELECT * INTO taken FROM ${schema}.take(holder.job, holder.slot, '{scheduled}');
      CONTINUE WHEN NOT FOUND;
      INSERT INTO ${schema}.timed (job, run_at, attempt, failures, crashes, deadline_ms, slot, priority, queue, kind)
      VALUES (taken.job, coalesce(new_run_at, clock_timestamp() + new_run_in * interval '1 ms'),
        taken.attempt, taken.failures, taken.crashes, taken.deadline_ms, taken.slot, taken.priority, taken.queue, taken.kind);
      outcome := 'debounced';
    ELSE
      outcome := 'kept';
    END IF;
    number := holder.job;
    home := holder.slot;
    RETURN;
  END LOOP;

  -- Whoever drives the job again when it is dead has to know.
  new_details := coalesce(new_details, '{}') || jsonb_build_object('unique', full_key);
  SELECT ids[1], slots[1] INTO number, home FROM ${schema}.enqueue_many(
    ARRAY[new_kind], ARRAY[new_queue], ARRAY[new_priority], ARRAY[new_payload], ARRAY[new_details],
    ARRAY[new_deadline], ARRAY[new_run_at], ARRAY[new_run_in]);
  UPDATE ${schema}.unique_key SET job = number, slot = home, enqueued_at = clock_timestamp(),
    until = clock_timestamp() + period_ms * interval '1 ms'
  WHERE kind = new_kind AND key = full_key;
END
$$`,
  `REVOKE ALL ON FUNCTION ${schema}.enqueue_unique FROM PUBLIC`
]
