-- Every event of the AUDIT stream, once.
--
-- time is the time in the event's id (UUIDv7), not the time of storing: a repeated event meets the same key whenever
-- and wherever it is stored.
-- sequence is the event's message on the stream: of two outcomes of one call the first on the stream is the one kept.
-- event is the line of JSON as it is on the stream, to the byte, which is why it is text. The other columns repeat
-- what ListEvents filters by; outcome holds a refusal's code.
--
-- Indexes cost each insert, so there is one per order of reading and none per filter:
--   primary key       each event once; one tenant's pages, newest first; one event of a tenant by its id
--   events_by_time    all tenants' pages, newest first; one event by its id alone
DO $$
DECLARE
  hypertable CONSTANT boolean := EXISTS (SELECT FROM pg_extension WHERE extname = 'timescaledb');
BEGIN
  EXECUTE '
    CREATE TABLE audit.events (
      time timestamptz NOT NULL,
      sequence bigint NOT NULL,
      id uuid NOT NULL,
      tenant text NOT NULL,
      kind text NOT NULL,
      outcome text NOT NULL,
      principal text,
      group_id text,
      server text,
      tool text,
      event text NOT NULL,
      PRIMARY KEY (tenant, time, id)
    ) ' || CASE WHEN hypertable THEN '' ELSE 'PARTITION BY RANGE (time)' END;
  IF hypertable THEN
    PERFORM create_hypertable('audit.events', 'time',
      chunk_time_interval => INTERVAL '7 days', create_default_indexes => false);
  END IF;
END $$;

CREATE INDEX events_by_time ON audit.events (time, id);
