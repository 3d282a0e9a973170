-- What the configuration file says beside tokens and policies, by name: so that a change of it is a revision like any
-- other, for every replica. Holds no secret. `policy.oauth` is not read any more.
CREATE TABLE policy.settings (
  name text PRIMARY KEY,
  value jsonb NOT NULL
);
INSERT INTO policy.settings (name, value) SELECT 'oauth', jsonb_build_array(settings) FROM policy.oauth;
