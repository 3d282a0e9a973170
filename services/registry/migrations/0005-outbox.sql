-- Events that belong to a change, written with it; published in order, then deleted.
CREATE TABLE registry.outbox (
  position bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  event text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now()
);
