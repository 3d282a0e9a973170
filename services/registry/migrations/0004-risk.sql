-- What policies ask of a server: where it belongs, and what its tools can do.
ALTER TABLE registry.servers
  ADD COLUMN environment text NOT NULL DEFAULT '',
  ADD COLUMN risk text NOT NULL DEFAULT 'LOW';
