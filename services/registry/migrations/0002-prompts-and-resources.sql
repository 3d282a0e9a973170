ALTER TABLE registry.servers
  -- What of a client's own capabilities may reach the server.
  ADD COLUMN client_capabilities text[] NOT NULL DEFAULT '{}',
  ADD COLUMN session_context boolean NOT NULL DEFAULT false;

ALTER TABLE registry.server_states
  ADD COLUMN protocol text NOT NULL DEFAULT '',
  -- Text and not jsonb: it has to leave as the server sent it, byte for byte.
  ADD COLUMN capabilities text NOT NULL DEFAULT '',
  ADD COLUMN instructions text NOT NULL DEFAULT '';
-- The revision that last replaced the items: readers load items only when it has moved.
ALTER TABLE registry.server_states RENAME COLUMN tools_revision TO items_revision;

-- Tools of earlier reports are not taken along: every spec has another hash from now on, so its server is reported anew.
DROP TABLE registry.tools;
CREATE TABLE registry.items (
  server_id text NOT NULL REFERENCES registry.server_states (server_id) ON DELETE CASCADE,
  kind text NOT NULL CHECK (kind IN ('tool', 'prompt', 'resource', 'resource_template')),
  -- Among all items of the server: kind by kind, each in its own order.
  position integer NOT NULL,
  -- A tool's or prompt's name, a resource's uri, a template's uriTemplate. Unique in the server and kind, which reports
  -- are checked for; uris may be too long for an index.
  key text NOT NULL,
  -- Text and not jsonb: it has to leave as the server sent it, byte for byte.
  definition text NOT NULL,
  hash text NOT NULL,
  -- Of tools.
  retry_safe boolean NOT NULL,
  PRIMARY KEY (server_id, position)
);
