-- How far the stream is recorded. One row; whoever writes rows moves it in the same transaction.
CREATE TABLE metering.position (
  singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
  -- When the stream was made, as it says itself; empty: none yet.
  stream text NOT NULL DEFAULT '',
  -- Its last message that is recorded.
  sequence bigint NOT NULL DEFAULT 0,
  -- When the stream took that message.
  published_at timestamptz
);
INSERT INTO metering.position DEFAULT VALUES;

-- Cards for some calls only, with prices of CPU time and of tiers. An empty text means any.
ALTER TABLE metering.rate_cards
  -- In which order they were made: a rating goes by those that there were when it was asked for.
  ADD COLUMN number bigint UNIQUE,
  ADD COLUMN tenant text NOT NULL DEFAULT '',
  ADD COLUMN group_id text NOT NULL DEFAULT '',
  ADD COLUMN server text NOT NULL DEFAULT '',
  ADD COLUMN tool text NOT NULL DEFAULT '',
  ADD COLUMN per_cpu_second numeric(13,9) NOT NULL DEFAULT 0 CHECK (per_cpu_second BETWEEN 0 AND 10000),
  -- [{"upTo": 1000, "perCall": "0.001"}, …], the last with 0.
  ADD COLUMN tiers jsonb NOT NULL DEFAULT '[]',
  -- From when on it prices calls as they are recorded: later than valid_from where calls after that were recorded before.
  ADD COLUMN records_from timestamptz,
  ADD COLUMN created_by text NOT NULL DEFAULT '',
  ADD COLUMN created_at timestamptz;
UPDATE metering.rate_cards AS card SET number = counted.number, created_at = card.valid_from
FROM (SELECT id, version, row_number() OVER (ORDER BY version, id) AS number FROM metering.rate_cards) AS counted
WHERE (card.id, card.version) = (counted.id, counted.version);
ALTER TABLE metering.rate_cards ALTER COLUMN number SET NOT NULL, ALTER COLUMN created_at SET NOT NULL;

-- As storedText of packages/contracts stores them: what is too long for an index is cut and marked with its hash.
DO $$
DECLARE
  bound record;
BEGIN
  FOR bound IN SELECT * FROM (VALUES ('principal', 512), ('tool', 1024), ('team', 256), ('group_id', 128), ('server', 128))
                 AS given (name, bytes) LOOP
    EXECUTE format(
      'UPDATE metering.calls SET %1$I = left(%1$I, %2$s) || ''~'' || left(encode(sha256(convert_to(%1$I, ''UTF8'')), ''hex''), 16)
       WHERE octet_length(%1$I) > %3$s', bound.name, (bound.bytes - 17) / 4, bound.bytes);
  END LOOP;
END $$;

-- month_call is which of its tenant's calls in the calendar month (UTC) a call is, in stream order: what tiers go by.
-- cold_start_calls: how many shared the start that it waited for; 0 when it waited for none.
ALTER TABLE metering.calls
  ADD COLUMN cpu_us bigint NOT NULL DEFAULT 0,
  ADD COLUMN downstream_calls integer NOT NULL DEFAULT 1,
  ADD COLUMN cold_start_calls integer NOT NULL DEFAULT 0,
  ADD COLUMN month_call bigint NOT NULL DEFAULT 0;
UPDATE metering.calls AS c SET
  cold_start_calls = c.cold_start::int,
  month_call = counted.month_call
FROM (
  SELECT tenant, time, call_id,
         row_number() OVER (PARTITION BY tenant, date_trunc('month', time AT TIME ZONE 'UTC')
                            ORDER BY sequence, time, call_id) AS month_call
  FROM metering.calls
) AS counted
WHERE (c.tenant, c.time, c.call_id) = (counted.tenant, counted.time, counted.call_id);
ALTER TABLE metering.calls
  DROP COLUMN cold_start,
  ALTER COLUMN cpu_us DROP DEFAULT,
  ALTER COLUMN downstream_calls DROP DEFAULT,
  ALTER COLUMN cold_start_calls DROP DEFAULT,
  ALTER COLUMN month_call DROP DEFAULT;

-- What all tenants used in a part of a day. Calls come nearly in the order of their times, which such an index needs, and
-- it costs next to nothing to keep.
CREATE INDEX calls_time ON metering.calls USING brin (time) WITH (pages_per_range = 16, autosummarize = on);

-- How many calls each tenant has made in a month.
CREATE TABLE metering.month_counts (
  tenant text NOT NULL COLLATE "C",
  month text NOT NULL COLLATE "C",
  calls bigint NOT NULL,
  PRIMARY KEY (tenant, month)
);
INSERT INTO metering.month_counts (tenant, month, calls)
SELECT tenant, to_char(time AT TIME ZONE 'UTC', 'YYYY-MM'), count(*) FROM metering.calls GROUP BY 1, 2;

-- Sums of calls by day (UTC), written with the calls in one transaction. Three times, each as fine as some questions need
-- and no finer: by everything (grain 0), by who called (1) and by what was called (2); the columns that a grain leaves
-- out are empty. Rows of a rating hold no counts but what its prices are above or below the first ones.
-- The primary key serves sums of a time at one grain; behind that, what differs most comes first, so that rows are told
-- apart by few comparisons.
CREATE TABLE metering.usage_days (
  rating integer NOT NULL,
  grain smallint NOT NULL,
  day date NOT NULL,
  tenant text NOT NULL COLLATE "C",
  team text NOT NULL COLLATE "C",
  principal text NOT NULL COLLATE "C",
  group_id text NOT NULL COLLATE "C",
  server text NOT NULL COLLATE "C",
  tool text NOT NULL COLLATE "C",
  calls bigint NOT NULL,
  errors bigint NOT NULL,
  duration_us bigint NOT NULL,
  cpu_us bigint NOT NULL,
  request_bytes bigint NOT NULL,
  response_bytes bigint NOT NULL,
  downstream_calls bigint NOT NULL,
  cold_starts bigint NOT NULL,
  cost numeric(30,9) NOT NULL,
  PRIMARY KEY (rating, grain, day, principal, tool, server, team, group_id, tenant)
) WITH (fillfactor = 80);
INSERT INTO metering.usage_days
SELECT 0, CASE WHEN GROUPING(tool) = 1 THEN 1 WHEN GROUPING(team) = 1 THEN 2 ELSE 0 END,
       day, tenant, coalesce(team, ''), coalesce(principal, ''), coalesce(group_id, ''), coalesce(server, ''),
       coalesce(tool, ''), count(*), count(*) FILTER (WHERE outcome <> 'ok'), sum(duration_us), sum(cpu_us),
       sum(request_bytes), sum(response_bytes), sum(downstream_calls), count(*) FILTER (WHERE cold_start_calls > 0),
       sum(cost)
FROM (SELECT *, (time AT TIME ZONE 'UTC')::date AS day FROM metering.calls) AS c
GROUP BY GROUPING SETS ((day, tenant, team, principal, group_id, server, tool),
                        (day, tenant, team, principal), (day, tenant, group_id, server, tool));

-- Calls of a time priced anew, as a version beside the first one.
CREATE TABLE metering.ratings (
  version integer PRIMARY KEY,
  -- Empty: every tenant.
  tenant text NOT NULL,
  from_time timestamptz NOT NULL,
  to_time timestamptz NOT NULL,
  reason text NOT NULL,
  by text NOT NULL,
  -- The last card that it goes by (rate_cards.number).
  cards bigint NOT NULL,
  status text NOT NULL CHECK (status IN ('running', 'done', 'failed')),
  -- The last call that is priced, in the order of the primary key of calls.
  at_tenant text NOT NULL DEFAULT '',
  at_time timestamptz NOT NULL DEFAULT '-infinity',
  at_call uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
  calls bigint NOT NULL DEFAULT 0,
  cost_before numeric(30,9) NOT NULL DEFAULT 0,
  cost_after numeric(30,9) NOT NULL DEFAULT 0,
  started_at timestamptz NOT NULL DEFAULT now(),
  ended_at timestamptz
);
CREATE TABLE metering.rated_calls (
  rating integer NOT NULL,
  tenant text NOT NULL,
  time timestamptz NOT NULL,
  call_id uuid NOT NULL,
  rate_card text NOT NULL,
  cost numeric(20,9) NOT NULL,
  PRIMARY KEY (rating, tenant, time, call_id)
);

-- Events that belong to a change, written with it; published in order, then deleted.
CREATE TABLE metering.outbox (
  position bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  event text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now()
);
