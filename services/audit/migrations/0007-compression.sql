-- Long lines are compressed with lz4, which costs a fraction of PostgreSQL's own method, where this server was built with
-- it. New partitions take it over from the table. Hypertables are compressed as a whole, by chunks (store/compression.ts).
DO $$
DECLARE
  part regclass;
BEGIN
  IF (SELECT relkind FROM pg_class WHERE oid = 'audit.events'::regclass) <> 'p' THEN
    RETURN;
  END IF;
  FOR part IN SELECT relid FROM pg_partition_tree('audit.events') LOOP
    EXECUTE format('ALTER TABLE ONLY %s ALTER COLUMN event SET COMPRESSION lz4', part);
  END LOOP;
EXCEPTION WHEN feature_not_supported THEN
  RAISE NOTICE 'this PostgreSQL has no lz4';
END $$;
