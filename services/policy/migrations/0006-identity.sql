-- A rotated token is found by its earlier secret as well, until then. `agent` is empty where it stands for itself.
ALTER TABLE policy.tokens
  ADD COLUMN agent text NOT NULL DEFAULT '',
  ADD COLUMN created_by text NOT NULL DEFAULT '',
  ADD COLUMN previous_sha256 bytea UNIQUE CHECK (octet_length(previous_sha256) = 32),
  ADD COLUMN previous_until timestamptz,
  ADD CHECK ((previous_sha256 IS NULL) = (previous_until IS NULL));

-- Apart from the tokens, and no part of any revision: it is written long after, and nothing rests on it.
CREATE TABLE policy.token_uses (
  name text PRIMARY KEY REFERENCES policy.tokens ON DELETE CASCADE,
  used_at timestamptz NOT NULL
);

-- Agents, and users who were given or lost something. `withdrawn_roles` and `disabled` of an agent of the file are the
-- API's, and outlive the file.
CREATE TABLE policy.principals (
  tenant text NOT NULL,
  id text NOT NULL,
  team text NOT NULL,
  roles text[] NOT NULL,
  withdrawn_roles text[] NOT NULL,
  disabled boolean NOT NULL,
  note text NOT NULL,
  source text NOT NULL CHECK (source IN ('file', 'api')),
  updated_at timestamptz NOT NULL DEFAULT now(),
  updated_by text NOT NULL,
  PRIMARY KEY (tenant, id)
);

CREATE TABLE policy.roles (
  tenant text NOT NULL,
  name text NOT NULL,
  description text NOT NULL,
  disabled boolean NOT NULL,
  updated_at timestamptz NOT NULL DEFAULT now(),
  updated_by text NOT NULL,
  PRIMARY KEY (tenant, name)
);

UPDATE policy.settings
SET value = (SELECT jsonb_agg('{"roleMap": {}}' || issuer) FROM jsonb_array_elements(value) AS issuer)
WHERE name = 'oauth' AND jsonb_array_length(value) > 0;
