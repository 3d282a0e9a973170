-- Whose access tokens are taken, as the configuration file says it: none or one row. Here so that a change of it is a
-- revision like any other, for every replica. Holds no secret.
CREATE TABLE policy.oauth (
  one boolean PRIMARY KEY DEFAULT true CHECK (one),
  settings jsonb NOT NULL
);
