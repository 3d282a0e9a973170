-- The installation's own secrets, each sealed as src/domain/envelope.ts says: who has these rows, and not the keys of
-- TOLLGATE_SECRET_KEYS, has no secret. Version and servers are bound to what is sealed.
CREATE TABLE registry.secrets (
  name text PRIMARY KEY,
  -- Counts the values, from 1.
  version integer NOT NULL,
  sealed text NOT NULL,
  -- Those that may use it; empty: any.
  servers text[] NOT NULL,
  description text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(),
  updated_by text NOT NULL
);

-- It is unavailable since a secret that it names is not to be had.
ALTER TABLE registry.server_states ADD COLUMN withheld boolean NOT NULL DEFAULT false;
