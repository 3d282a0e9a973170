-- What retention would let go of, and has to be kept all the same. Few, so read as a whole; never deleted: a hold that
-- was released says so.
CREATE TABLE audit.holds (
  id uuid PRIMARY KEY,
  -- Empty means every tenant, or every kind.
  tenant text NOT NULL,
  kind text NOT NULL,
  -- Of the events' time; null means no bound. from_time is inclusive, to_time exclusive.
  from_time timestamptz,
  to_time timestamptz,
  reason text NOT NULL,
  created_by text NOT NULL,
  created_at timestamptz NOT NULL,
  released_by text,
  released_at timestamptz
);
