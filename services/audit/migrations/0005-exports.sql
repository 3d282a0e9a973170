-- Exports to SIEMs. Their place on the stream is kept by the stream itself (packages/bus/src/durable-reader.ts); here is
-- what all replicas show of them, whichever does the work.
CREATE TABLE audit.exports (
  id text PRIMARY KEY,
  -- As tollgate.yaml has it, without secrets: what a change event says of it.
  definition jsonb NOT NULL,
  sent bigint NOT NULL DEFAULT 0,
  rejected bigint NOT NULL DEFAULT 0,
  -- Why the last batch could not be sent; empty while all is well.
  problem text NOT NULL DEFAULT '',
  last_sent_at timestamptz,
  -- What was acknowledged last: which stream, and its message. Behind the stream's own word by a moment at most.
  stream text,
  sequence bigint
);

-- What was asked to be sent to an export once more, from the record.
CREATE TABLE audit.replays (
  id uuid PRIMARY KEY,
  export text NOT NULL,
  -- An EventFilter, as JSON. Its end is at the latest when the replay began: what comes later goes its own way.
  filter jsonb NOT NULL,
  status text NOT NULL CHECK (status IN ('running', 'done', 'failed', 'cancelled')),
  sent bigint NOT NULL DEFAULT 0,
  -- Null until it was counted.
  total bigint,
  -- The last event that was sent: it goes on after it.
  last_event uuid,
  problem text NOT NULL DEFAULT '',
  started_by text NOT NULL,
  started_at timestamptz NOT NULL,
  ended_at timestamptz
);
CREATE INDEX replays_running ON audit.replays (started_at) WHERE status = 'running';

-- Events that belong to a change, written with it; published in order, then deleted.
CREATE TABLE audit.outbox (
  position bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  event text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now()
);
