-- What each tool is and has been. Not bound to the servers' rows: a server that is removed and comes back, or gets another
-- spec, is held to what was known of its tools.
CREATE TABLE registry.tools (
  server_id text NOT NULL,
  tool text NOT NULL,
  -- The version that clients get, as far as its certification lets them.
  served integer NOT NULL,
  -- What the server says now, who has said so, and when.
  reported integer NOT NULL,
  reporter text NOT NULL,
  reported_at timestamptz NOT NULL,
  -- The highest number given so far.
  newest integer NOT NULL,
  first_seen timestamptz NOT NULL,
  -- Who has taken it from everybody; empty: nobody.
  removed_by text NOT NULL DEFAULT '',
  -- Since when it is in no list of its server, or there is no such server; what is so for long is forgotten.
  unlisted_at timestamptz,
  PRIMARY KEY (server_id, tool)
);

CREATE TABLE registry.tool_versions (
  server_id text NOT NULL,
  tool text NOT NULL,
  version integer NOT NULL,
  -- SHA-256 of the canonical JSON (RFC 8785), hex.
  hash text NOT NULL,
  -- Text and not jsonb: it has to leave as the server sent it, byte for byte.
  definition text NOT NULL,
  retry_safe boolean NOT NULL,
  certification text NOT NULL DEFAULT 'draft' CHECK (certification IN ('draft', 'submitted', 'approved', 'retired')),
  first_seen timestamptz NOT NULL,
  submitted_by text NOT NULL DEFAULT '',
  -- The last decision.
  decided_by text NOT NULL DEFAULT '',
  decided_at timestamptz,
  comment text NOT NULL DEFAULT '',
  PRIMARY KEY (server_id, tool, version),
  UNIQUE (server_id, tool, hash),
  FOREIGN KEY (server_id, tool) REFERENCES registry.tools (server_id, tool) ON DELETE CASCADE
);

ALTER TABLE registry.servers
  -- As in tollgate.yaml, what it says of all servers included.
  ADD COLUMN tool_changes text NOT NULL DEFAULT 'serve_old',
  ADD COLUMN certification text NOT NULL DEFAULT 'optional',
  ADD COLUMN four_eyes boolean NOT NULL DEFAULT false;
