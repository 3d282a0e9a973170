-- How much may be called. `definition` is the limit as JSON, checked before it is written.
CREATE TABLE policy.limits (
  id text PRIMARY KEY,
  definition jsonb NOT NULL,
  source text NOT NULL CHECK (source IN ('file', 'api')),
  updated_at timestamptz NOT NULL DEFAULT now(),
  updated_by text NOT NULL
);

-- Permits of a day that were given to gateways, by the key that decisions name. Exact over restarts and replicas: what
-- is given is committed before a gateway hears of it.
CREATE TABLE policy.quota_days (
  key text NOT NULL,
  day date NOT NULL,
  used bigint NOT NULL CHECK (used >= 0),
  PRIMARY KEY (key, day)
);
CREATE INDEX quota_days_by_day ON policy.quota_days (day);
