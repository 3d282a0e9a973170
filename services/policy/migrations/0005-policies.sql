-- A policy's conditions are its `conditions` of tollgate.yaml, as JSON; `cedar` is the text of one that was written in
-- Cedar, whose lists are empty. `require_sandbox` has become a condition and is not read any more.
ALTER TABLE policy.policies
  ADD COLUMN description text NOT NULL DEFAULT '',
  ADD COLUMN tenant text NOT NULL DEFAULT '',
  ADD COLUMN conditions jsonb NOT NULL DEFAULT '{}',
  ADD COLUMN cedar text;
ALTER TABLE policy.policy_history
  ADD COLUMN description text NOT NULL DEFAULT '',
  ADD COLUMN tenant text NOT NULL DEFAULT '',
  ADD COLUMN conditions jsonb NOT NULL DEFAULT '{}',
  ADD COLUMN cedar text;
UPDATE policy.policies SET conditions = '{"require_sandbox": true}' WHERE require_sandbox;
UPDATE policy.policy_history SET conditions = '{"require_sandbox": true}' WHERE require_sandbox;
