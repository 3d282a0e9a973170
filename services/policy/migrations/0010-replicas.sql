-- The processes of this service that may give leases to gateways; src/domain/replicas.ts says what each column is for.
CREATE TABLE policy.replicas (
  id text PRIMARY KEY,
  place text NOT NULL,
  beat bigint NOT NULL,
  taken_revision bigint NOT NULL,
  grants_ms bigint NOT NULL
);

-- What the last revisions have changed, so that the other replicas need not read everything anew.
CREATE TABLE policy.changes (
  revision bigint PRIMARY KEY,
  changed jsonb NOT NULL
);
