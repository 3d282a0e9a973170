-- What calls cost. A card is never changed once calls were priced with it: a new price is a new version, with the time
-- from which it holds. All cards of an installation have the same currency.
CREATE TABLE metering.rate_cards (
  id text NOT NULL CHECK (id ~ '^[a-z0-9-]{1,64}$'),
  version integer NOT NULL CHECK (version > 0),
  -- Below 10,000 each, with nine decimals: with the bounds of one call's usage no cost is past numeric(20,9).
  per_call numeric(13,9) NOT NULL CHECK (per_call BETWEEN 0 AND 10000),
  -- Of tool time.
  per_second numeric(13,9) NOT NULL CHECK (per_second BETWEEN 0 AND 10000),
  -- 1,000,000 bytes of request and response together.
  per_megabyte numeric(13,9) NOT NULL CHECK (per_megabyte BETWEEN 0 AND 10000),
  per_cold_start numeric(13,9) NOT NULL CHECK (per_cold_start BETWEEN 0 AND 10000),
  -- ISO 4217.
  currency text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
  valid_from timestamptz NOT NULL,
  PRIMARY KEY (id, version)
);

-- Valid from the earliest time that a call's id can hold, so that every call has a price.
INSERT INTO metering.rate_cards (id, version, per_call, per_second, per_megabyte, per_cold_start, currency, valid_from)
VALUES ('default', 1, 0.0001, 0.00005, 0.00001, 0, 'USD', to_timestamp(0));

-- Every call once, with what it cost when it was made.
--
-- time is the time in the call's id (UUIDv7), not the time of storing: a repeated outcome meets the same key.
-- sequence is the event's message on the stream: of two outcomes of one call the first on the stream is the one kept.
-- The primary key serves what one tenant used in a time; of all tenants in a time a partition is read as a whole, and
-- an index would not be faster.
DO $$
DECLARE
  hypertable CONSTANT boolean := EXISTS (SELECT FROM pg_extension WHERE extname = 'timescaledb');
BEGIN
  EXECUTE '
    CREATE TABLE metering.calls (
      time timestamptz NOT NULL,
      sequence bigint NOT NULL,
      call_id uuid NOT NULL,
      duration_us bigint NOT NULL,
      request_bytes bigint NOT NULL,
      response_bytes bigint NOT NULL,
      cold_start boolean NOT NULL,
      tenant text NOT NULL,
      team text NOT NULL,
      principal text NOT NULL,
      group_id text NOT NULL,
      server text NOT NULL,
      tool text NOT NULL,
      outcome text NOT NULL,
      rate_card text NOT NULL,
      cost numeric(20,9) NOT NULL,
      PRIMARY KEY (tenant, time, call_id)
    ) ' || CASE WHEN hypertable THEN '' ELSE 'PARTITION BY RANGE (time)' END;
  IF hypertable THEN
    PERFORM create_hypertable('metering.calls', 'time',
      chunk_time_interval => INTERVAL '7 days', create_default_indexes => false);
  END IF;
END $$;
