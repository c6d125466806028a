/**
 * Writes events with the move they tell of, and enqueues the follow-ups a job declared when it was enqueued.
 *
 * An event's id is drawn when it is written, and its transaction can commit after that of a later one: who reads "after
 * this id" would miss it. Readers go by `position` instead, which the relay gives to events it can see, one relay after
 * another: positions become visible in their order and have no gaps, and, unlike the numbers of transactions, they
 * survive a dump.
 */
export const outbox = (schema: string): ReadonlyArray<string> => [
  `CREATE SEQUENCE ${schema}.event_number`,
  `CREATE TABLE ${schema}.outbox (
  id bigint PRIMARY KEY DEFAULT nextval('${schema}.event_number'),
  at timestamptz NOT NULL DEFAULT clock_timestamp(),
  position bigint UNIQUE,
  taken_at timestamptz,
  delivered_at timestamptz,
  job bigint NOT NULL,
  attempt ${schema}.tally NOT NULL,
  tries ${schema}.tally NOT NULL DEFAULT 0,
  slot smallint NOT NULL,
  type ${schema}.name NOT NULL,
  queue ${schema}.name NOT NULL,
  kind ${schema}.name NOT NULL,
  details jsonb
)`,
  `COMMENT ON TABLE ${schema}.outbox IS 'Events, written with the move they tell of. Read them by position, which grows as they become visible; id is the idempotency key.'`,
  `CREATE INDEX outbox_new ON ${schema}.outbox (id) WHERE position IS NULL`,
  `CREATE INDEX outbox_undelivered ON ${schema}.outbox (tries, position) WHERE delivered_at IS NULL`,
  `CREATE INDEX outbox_age ON ${schema}.outbox (at)`,
  `CREATE TABLE ${schema}.outbox_mark (
  only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
  last bigint NOT NULL DEFAULT 0
)`,
  `COMMENT ON TABLE ${schema}.outbox_mark IS 'The last position given. Whoever gives the next ones holds the row until they are visible.'`,
  `INSERT INTO ${schema}.outbox_mark DEFAULT VALUES`,
  `CREATE TABLE ${schema}.outbox_sink (
  only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
  seen_at timestamptz NOT NULL DEFAULT 'epoch'
)`,
  `COMMENT ON TABLE ${schema}.outbox_sink IS 'When a process last had somewhere to deliver events to, give or take a minute: until then they wait for it.'`,
  `INSERT INTO ${schema}.outbox_sink DEFAULT VALUES`,

  `CREATE TYPE ${schema}.rescue AS (
  job bigint, attempt int, crashes int, worker bigint, slot smallint, queue text, kind text, place text
)`,
  `CREATE TYPE ${schema}.happening AS (
  type text, job bigint, attempt int, crashes int, slot smallint, queue text, kind text, reason text, told jsonb, details jsonb
)`,

  // What stands in details came from outside and is read late: a fault in it must not keep a job from dying.
  `CREATE FUNCTION ${schema}.follow_up(details jsonb, type text) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
  SELECT spec FROM (SELECT details #> ARRAY['followUps', type] AS spec) declared
  WHERE coalesce(spec ->> 'kind', '') <> '' AND coalesce(spec ->> 'queue', '') <> ''
    AND spec ->> 'priority' ~ '^[0-9]$' AND coalesce(spec ->> 'deadlineMs', '1') ~ '^[1-9][0-9]{0,14}$'
$$`,

  `CREATE FUNCTION ${schema}.tell(happened ${schema}.happening[]) RETURNS void LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  moment timestamptz := clock_timestamp();
  follow ${schema}.happening[];
  to_queue text;
BEGIN
  INSERT INTO ${schema}.outbox (at, type, job, attempt, slot, queue, kind, details)
  SELECT moment, type, job, attempt, slot, queue, kind, told FROM unnest(happened) WITH ORDINALITY ORDER BY ordinality;

  SELECT array_agg(one ORDER BY (one).job) INTO follow FROM unnest(happened) AS one
  WHERE (one).details ? 'followUps' AND ${schema}.follow_up((one).details, (one).type) IS NOT NULL;
  IF follow IS NULL THEN RETURN; END IF;
  PERFORM ${schema}.enqueue_many(
    array_agg(spec ->> 'kind'), array_agg(spec ->> 'queue'), array_agg((spec ->> 'priority')::smallint),
    array_agg(jsonb_build_object('type', type, 'job', abs(slot) || '-' || job, 'kind', kind, 'attempt', attempt,
      'rescues', crashes, 'reason', reason)::text),
    array_agg(nullif(coalesce(spec -> 'details', '{}') || jsonb_strip_nulls(jsonb_build_object('trace', details -> 'trace')), '{}')),
    array_agg((spec ->> 'deadlineMs')::bigint), array_fill(NULL::timestamptz, ARRAY[count(*)::int]), array_fill(NULL::bigint, ARRAY[count(*)::int]))
  FROM unnest(follow) CROSS JOIN LATERAL ${schema}.follow_up(details, type) AS spec;
  FOR to_queue IN SELECT DISTINCT ${schema}.follow_up(details, type) ->> 'queue' FROM unnest(follow) LOOP
    PERFORM pg_notify('${schema.slice(1, -1)}_wake', to_queue);
  END LOOP;
END
$$`,

  /** Bodies are looked up by slot: a generic plan over the whole ring would lock all of it. */
  `CREATE FUNCTION ${schema}.tell_rescues(rescues ${schema}.rescue[]) RETURNS void LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  one_slot smallint;
  happened ${schema}.happening[];
BEGIN
  FOR one_slot IN SELECT DISTINCT slot FROM unnest(rescues) LOOP
    EXECUTE replace($sql$
      SELECT array_agg(('rescued', rescue.job, rescue.attempt, rescue.crashes, rescue.slot, rescue.queue, rescue.kind, NULL,
          jsonb_build_object('worker', rescue.worker::text, 'name', worker.name, 'rescues', rescue.crashes, 'place', rescue.place,
            'silentMs', round(extract(epoch FROM clock_timestamp() - worker.beat_at) * 1000)),
          body.details)::${schema}.happening ORDER BY rescue.job)
      FROM unnest($1) AS rescue
      CROSS JOIN LATERAL (SELECT details FROM ${schema}.job_%slot AS job WHERE job.id = rescue.job OFFSET 0) body
      LEFT JOIN ${schema}.worker ON worker.id = rescue.worker
      WHERE rescue.slot = $2
    $sql$, '%slot', greatest(one_slot, 0)::text) INTO happened USING rescues, one_slot;
    PERFORM ${schema}.tell(happened);
  END LOOP;
END
$$`
]
