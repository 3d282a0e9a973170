-- What is declared of groups, servers, tool sets and tenants, by the file and by the API. What is in force is in the
-- tables of these names. The API's word covers the file's until the file says something else of the same entry.
CREATE TABLE registry.entries (
  kind text NOT NULL CHECK (kind IN ('group', 'server', 'tool_set', 'tenant')),
  id text NOT NULL,
  -- A salted hash of what the file says, plain secrets included: whether it still says the same. Null: it says nothing.
  file_hash text,
  -- What the API says, with "(hidden)" for what may be a secret. Null: nothing.
  api_entry jsonb,
  -- What is hidden of it. Null: nothing.
  sealed text,
  -- The API has taken away what the file has.
  api_removed boolean NOT NULL DEFAULT false,
  -- Counts the changes of what is in force. Entries that are nowhere any more keep theirs for a while, so that it does not
  -- come again.
  version bigint NOT NULL,
  -- The catalogue's revision that this version came with: by the newest one replicas see whether there is anything new.
  revision bigint NOT NULL,
  updated_by text NOT NULL,
  updated_at timestamptz NOT NULL DEFAULT now(),
  -- The order of those that only the API has.
  position bigint GENERATED ALWAYS AS IDENTITY,
  PRIMARY KEY (kind, id)
);
CREATE INDEX entries_by_revision ON registry.entries (revision);

CREATE TABLE registry.tool_sets (
  id text PRIMARY KEY,
  position integer NOT NULL,
  name text NOT NULL,
  description text NOT NULL,
  tools text[] NOT NULL,
  repositories text[] NOT NULL
);
