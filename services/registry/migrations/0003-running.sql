ALTER TABLE registry.servers
  -- Rules for single tools, as in registry.proto.
  ADD COLUMN tool_rules jsonb NOT NULL DEFAULT '[]',
  ADD COLUMN pool_mode text NOT NULL DEFAULT '',
  -- Counts the restarts that were asked for. No part of the spec: what is known of the server stays.
  ADD COLUMN generation bigint NOT NULL DEFAULT 0;

ALTER TABLE registry.server_states
  ADD COLUMN isolation text NOT NULL DEFAULT '',
  ADD COLUMN limits_by text NOT NULL DEFAULT '';

CREATE TABLE registry.tenants (
  -- Empty: all tenants that are not listed.
  id text PRIMARY KEY,
  position integer NOT NULL,
  plan text NOT NULL,
  lane text NOT NULL,
  weight integer NOT NULL,
  -- 0: the gateway's own limit.
  max_concurrent integer NOT NULL,
  max_waiting integer NOT NULL
);
