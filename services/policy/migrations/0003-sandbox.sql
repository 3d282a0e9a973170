-- What it allows, it allows where the server is in a sandbox; what it denies, where it is in none.
ALTER TABLE policy.policies ADD COLUMN require_sandbox boolean NOT NULL DEFAULT false;
ALTER TABLE policy.policy_history ADD COLUMN require_sandbox boolean NOT NULL DEFAULT false;
