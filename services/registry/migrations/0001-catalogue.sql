-- One row. Every change of the catalogue takes its lock first, so changes of all replicas have one order.
CREATE TABLE registry.revision (
  only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
  value bigint NOT NULL
);
INSERT INTO registry.revision (value) VALUES (0);

CREATE TABLE registry.groups (
  id text PRIMARY KEY,
  name text NOT NULL,
  position integer NOT NULL
);

CREATE TABLE registry.servers (
  id text PRIMARY KEY,
  name text NOT NULL,
  group_id text NOT NULL REFERENCES registry.groups (id),
  type text NOT NULL,
  enabled boolean NOT NULL,
  position integer NOT NULL,
  -- As the user wrote it: references to the environment are still references.
  spec jsonb NOT NULL,
  -- Of the resolved spec. The resolved spec itself is never stored.
  spec_hash text NOT NULL,
  source text NOT NULL CHECK (source IN ('file'))
);

CREATE TABLE registry.server_states (
  server_id text PRIMARY KEY REFERENCES registry.servers (id) ON DELETE CASCADE,
  status text NOT NULL CHECK (status IN ('pending', 'ready', 'unavailable', 'disabled')),
  reason text NOT NULL DEFAULT '',
  era text NOT NULL DEFAULT '',
  server_info text NOT NULL DEFAULT '',
  reported_at timestamptz,
  -- What this state and these tools belong to; another hash in servers makes them void.
  spec_hash text NOT NULL,
  -- The revision that last replaced the tools: readers load tools only when it has moved.
  tools_revision bigint NOT NULL
);

CREATE TABLE registry.tools (
  server_id text NOT NULL REFERENCES registry.server_states (server_id) ON DELETE CASCADE,
  position integer NOT NULL,
  name text NOT NULL,
  -- Text and not jsonb: it has to leave as the server sent it, byte for byte.
  definition text NOT NULL,
  hash text NOT NULL,
  retry_safe boolean NOT NULL,
  PRIMARY KEY (server_id, position),
  UNIQUE (server_id, name)
);
