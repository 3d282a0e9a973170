-- What tollgate.yaml said of its policies and limits when it was applied last. Only what it says anew takes effect, so that
-- what was changed or removed through the API stays so over restarts.
CREATE TABLE policy.file_entries (
  kind text NOT NULL CHECK (kind IN ('policy', 'limit')),
  id text NOT NULL,
  entry jsonb NOT NULL,
  PRIMARY KEY (kind, id)
);
