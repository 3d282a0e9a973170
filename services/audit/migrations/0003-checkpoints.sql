-- What is signed of the chains, and what signs it.

-- Keys in the order in which they took over from each other.
--   record       the public key and who vouches for it, as JSON (packages/evidence, KeyRecord)
--   sealed       the private key under TOLLGATE_SIGNING_SECRET; null once another has taken over: it is not needed again
CREATE TABLE audit.signing_keys (
  place integer PRIMARY KEY,
  id text NOT NULL UNIQUE,
  record text NOT NULL,
  sealed text
);

-- Each covers the numbers from_number + 1 to number of its chain. That a chain is never signed two ways is the primary
-- key: two that begin after the same number cannot both be there.
--   checkpoint   as JSON (packages/evidence, Checkpoint)
--   leaves       those of its Merkle tree: a proof for one event needs them, and they name the event that was changed
--   first_time   of its events: what a range of time is found by, and what retention goes by
--   last_time
CREATE TABLE audit.checkpoints (
  tenant text NOT NULL,
  kind text NOT NULL,
  from_number bigint NOT NULL,
  number bigint NOT NULL,
  first_time timestamptz NOT NULL,
  last_time timestamptz NOT NULL,
  checkpoint text NOT NULL,
  leaves bytea NOT NULL,
  PRIMARY KEY (tenant, kind, from_number)
);
-- Hashes cannot be compressed.
ALTER TABLE audit.checkpoints ALTER COLUMN leaves SET STORAGE EXTERNAL;

-- What of a chain was let go of on purpose: everything up to number. As JSON (packages/evidence, Cut).
CREATE TABLE audit.cuts (
  tenant text NOT NULL,
  kind text NOT NULL,
  number bigint NOT NULL,
  cut text NOT NULL,
  PRIMARY KEY (tenant, kind)
);

-- One row: a signed list of all chains with the latest checkpoint of each. Without it nobody would miss a chain that is
-- gone as a whole, or a last checkpoint.
CREATE TABLE audit.register (
  singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
  register text NOT NULL
);
