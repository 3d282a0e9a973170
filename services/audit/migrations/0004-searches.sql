-- What events are found by. Each index costs every insert, so there is one for each way of searching that has to be quick
-- when what is searched for is rare, and none for the others, which are looked at event by event (src/store/search.ts).
-- Each is in the order of time, as pages are: a walk along it stops when the page is full. The primary key and
-- events_by_time (0001) serve one tenant and all of them.

-- "what has this user, agent or token done": principal
CREATE INDEX events_by_principal ON audit.events (principal, time);
-- "who has called this tool": tool
CREATE INDEX events_by_tool ON audit.events (tool, time);
-- "what was asked of this server": server
CREATE INDEX events_by_server ON audit.events (server, time);
-- "what belongs to this trace": trace
CREATE INDEX events_by_trace ON audit.events (trace, time) WHERE trace IS NOT NULL;

-- Most events are calls that went well, and are found by walking the others' indexes; the rest is a tenth of them.
-- "which changes were made", "which logins failed": kind
CREATE INDEX events_by_kind ON audit.events (kind, time) WHERE kind <> 'call';
-- "what was denied", "which calls timed out": outcome
CREATE INDEX events_by_outcome ON audit.events (outcome, time) WHERE outcome <> 'ok';
-- "what was denied" where another filter says so (decision), and words that many reasons hold: text
CREATE INDEX events_by_reason ON audit.events (time) WHERE reason IS NOT NULL;
-- Words that few reasons hold: text
CREATE INDEX events_by_words ON audit.events USING gin (to_tsvector('simple', reason)) WHERE reason IS NOT NULL;
