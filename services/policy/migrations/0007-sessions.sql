-- Sessions that were ended by somebody else than their client. A session lives for 24 hours at most without being used;
-- by then its gateway has forgotten it as well, and so does this table.
CREATE TABLE policy.ended_sessions (
  session text PRIMARY KEY,
  ended_at timestamptz NOT NULL DEFAULT now(),
  ended_by text NOT NULL
);
CREATE INDEX ended_sessions_newest ON policy.ended_sessions (ended_at DESC);
