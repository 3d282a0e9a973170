-- Counts every change of a token or a policy. One row; locked first by whoever changes anything, so that changes happen
-- one after the other, however many replicas there are.
CREATE TABLE policy.revision (
  one boolean PRIMARY KEY DEFAULT true CHECK (one),
  revision bigint NOT NULL
);
INSERT INTO policy.revision (revision) VALUES (1);

-- Never holds a token, only its hash.
CREATE TABLE policy.tokens (
  name text PRIMARY KEY,
  tenant text NOT NULL,
  team text NOT NULL,
  roles text[] NOT NULL,
  permissions text[] NOT NULL,
  sha256 bytea NOT NULL UNIQUE CHECK (octet_length(sha256) = 32),
  source text NOT NULL CHECK (source IN ('file', 'api')),
  created_at timestamptz NOT NULL DEFAULT now(),
  expires_at timestamptz
);

-- Apart from the tokens: a secret once revoked stays so, even when the file drops it and lists it again.
CREATE TABLE policy.revocations (
  sha256 bytea PRIMARY KEY,
  name text NOT NULL,
  revoked_at timestamptz NOT NULL DEFAULT now(),
  revoked_by text NOT NULL
);

CREATE TABLE policy.policies (
  id text PRIMARY KEY,
  effect text NOT NULL CHECK (effect IN ('allow', 'deny')),
  principals text[] NOT NULL,
  actions text[] NOT NULL,
  resources text[] NOT NULL,
  source text NOT NULL CHECK (source IN ('file', 'api')),
  version bigint NOT NULL,
  updated_at timestamptz NOT NULL DEFAULT now(),
  updated_by text NOT NULL
);

-- Every version there ever was. A removal is a version too, so that numbers are never used twice.
CREATE TABLE policy.policy_history (
  id text NOT NULL,
  version bigint NOT NULL,
  change text NOT NULL CHECK (change IN ('put', 'delete')),
  effect text NOT NULL,
  principals text[] NOT NULL,
  actions text[] NOT NULL,
  resources text[] NOT NULL,
  source text NOT NULL,
  changed_at timestamptz NOT NULL DEFAULT now(),
  changed_by text NOT NULL,
  PRIMARY KEY (id, version)
);
