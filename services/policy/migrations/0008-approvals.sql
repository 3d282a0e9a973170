-- Calls that people have to approve of first. The arguments are sealed (store/sealed-arguments.ts); `digest` says which
-- call it is, keyed, so that short arguments cannot be guessed from it.
CREATE TABLE policy.approvals (
  id text PRIMARY KEY,
  tenant text NOT NULL,
  principal text NOT NULL,
  team text NOT NULL,
  server_group text NOT NULL,
  server text NOT NULL,
  tool text NOT NULL,
  risk text NOT NULL,
  digest bytea NOT NULL CHECK (octet_length(digest) = 32),
  sealed_arguments bytea NOT NULL,
  justification text NOT NULL,
  status text NOT NULL CHECK (status IN ('pending', 'approved', 'denied', 'expired', 'revoked')),
  needed integer NOT NULL,
  requested_at timestamptz NOT NULL,
  -- While it is pending or denied: when the request lapses; approved: when the access ends.
  expires_at timestamptz NOT NULL,
  changed_at timestamptz NOT NULL
);
CREATE INDEX approvals_by_call ON policy.approvals (tenant, principal, server, tool, digest);
CREATE INDEX approvals_by_change ON policy.approvals (changed_at DESC, id DESC);
CREATE INDEX approvals_by_expiry ON policy.approvals (expires_at) WHERE status IN ('pending', 'approved');

-- One for each person, who is known by tenant and id.
CREATE TABLE policy.approval_votes (
  approval text NOT NULL REFERENCES policy.approvals (id) ON DELETE CASCADE,
  tenant text NOT NULL,
  by text NOT NULL,
  approve boolean NOT NULL,
  reason text NOT NULL,
  voted_at timestamptz NOT NULL,
  PRIMARY KEY (approval, tenant, by)
);
