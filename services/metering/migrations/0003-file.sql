-- What tollgate.yaml said of its rate cards when it was applied last: only what it says anew becomes a version, so that a
-- card that was changed through the API stays as it is over restarts.
CREATE TABLE metering.file_cards (
  id text PRIMARY KEY,
  card jsonb NOT NULL
);
