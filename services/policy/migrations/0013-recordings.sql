-- What of the calls that a policy decides on is kept whole: arguments, result.
ALTER TABLE policy.policies ADD COLUMN record text[] NOT NULL DEFAULT '{}';
ALTER TABLE policy.policy_history ADD COLUMN record text[] NOT NULL DEFAULT '{}';
