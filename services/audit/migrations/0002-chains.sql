-- The record as chains. The events of one tenant and kind are numbered from 1 in the order of the stream, without
-- holes, and each has a hash over all before it and itself (packages/evidence): nothing can be changed, taken out, put
-- in or moved without a break.

-- How far the stream is recorded: one row. Whoever stores events moves it in the same transaction, and only from where
-- it thought it was, so that of two writers one stores nothing. It begins before the first message even where there
-- are events already: what was stored out of order until now may have holes behind its last.
CREATE TABLE audit.position (
  singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
  -- When the stream was made, in its own words; empty before the first message.
  stream text NOT NULL DEFAULT '',
  -- Its last message that is recorded, and when the stream took it.
  sequence bigint NOT NULL DEFAULT 0,
  published_at timestamptz
);
INSERT INTO audit.position DEFAULT VALUES;

-- The end of each chain, and the first number of it that is still kept.
CREATE TABLE audit.chains (
  tenant text NOT NULL,
  kind text NOT NULL,
  first_number bigint NOT NULL DEFAULT 1,
  number bigint NOT NULL,
  hash bytea NOT NULL,
  PRIMARY KEY (tenant, kind)
);

-- number, hash   the event's place in its chain
-- decision       `allow` or `deny`, where something was decided, and policies: which did
-- trace          the W3C trace id of the request
-- reason         why: the event's own, or the decision's where it was not allowed
ALTER TABLE audit.events
  ADD COLUMN number bigint,
  ADD COLUMN hash bytea,
  ADD COLUMN team text,
  ADD COLUMN decision text,
  ADD COLUMN policies text[],
  ADD COLUMN trace text,
  ADD COLUMN reason text;

-- An event that was stored before there were chains, with U+FFFD for what PostgreSQL does not take: NUL, and half of a
-- surrogate pair (JSON.stringify escapes no whole one). Null where it cannot be read even so.
CREATE FUNCTION audit.read_event(event text) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
  RETURN regexp_replace(event, '(?<!\\)((?:\\\\)*)\\u(?:0000|d[89a-f][0-9a-f]{2})', '\1�', 'g')::jsonb;
EXCEPTION WHEN OTHERS THEN
  RETURN NULL;
END $$;

-- As storedText of packages/contracts stores it: what is too long for an index is cut and marked with its hash.
CREATE FUNCTION audit.stored_text(given text) RETURNS text LANGUAGE sql AS $$
  SELECT CASE WHEN octet_length(given) > 2048
    THEN left(given, 507) || '~' || left(encode(sha256(convert_to(given, 'UTF8')), 'hex'), 16) ELSE given END
$$;

DO $$
DECLARE
  stored record;
  fields jsonb;
  chain_of text := '';
  place bigint;
  link bytea;
BEGIN
  FOR stored IN
    SELECT time, id, tenant, kind, event FROM audit.events ORDER BY tenant, kind, sequence, time, id
  LOOP
    IF chain_of <> stored.tenant || '/' || stored.kind THEN
      chain_of := stored.tenant || '/' || stored.kind;
      place := 0;
      link := sha256(convert_to(E'tollgate audit chain v1\n' || chain_of || E'\n', 'UTF8'));
    END IF;
    place := place + 1;
    link := sha256('\x02'::bytea || link || sha256('\x00'::bytea || convert_to(stored.event, 'UTF8')));
    fields := audit.read_event(stored.event);
    UPDATE audit.events SET
      number = place,
      hash = link,
      principal = audit.stored_text(principal),
      group_id = audit.stored_text(group_id),
      server = audit.stored_text(server),
      tool = audit.stored_text(tool),
      team = audit.stored_text(fields ->> 'team'),
      decision = CASE fields #> '{decision,allow}' WHEN 'true' THEN 'allow' WHEN 'false' THEN 'deny' END,
      policies = CASE WHEN jsonb_typeof(fields #> '{decision,policies}') = 'array' AND fields #> '{decision,policies}' <> '[]'
        THEN ARRAY(SELECT jsonb_array_elements_text(fields #> '{decision,policies}')) END,
      trace = substring(fields ->> 'traceparent' FROM '^[0-9a-f]{2}-([0-9a-f]{32})-'),
      reason = audit.stored_text(coalesce(fields ->> 'reason',
        CASE WHEN fields #> '{decision,allow}' = 'false' THEN fields #>> '{decision,reason}' END))
    WHERE tenant = stored.tenant AND time = stored.time AND id = stored.id;
  END LOOP;
END $$;

INSERT INTO audit.chains (tenant, kind, number, hash)
SELECT DISTINCT ON (tenant, kind) tenant, kind, number, hash FROM audit.events ORDER BY tenant, kind, number DESC;

DROP FUNCTION audit.read_event(text), audit.stored_text(text);
ALTER TABLE audit.events ALTER COLUMN number SET NOT NULL, ALTER COLUMN hash SET NOT NULL;

-- A chain from a number on, in its order: checkpoints, evidence, verification, retention.
CREATE INDEX events_by_chain ON audit.events (tenant, kind, number);
