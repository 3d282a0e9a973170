import type { Queryable } from "./revision.ts";

/** Of each tool the newest versions are kept, beside those that are served, reported or approved. */
export const VERSIONS_MAX = 100;
const VERSIONS_MAX_BYTES = 64 * 1024 * 1024;
/** What was in no list for so long, and nobody has decided on, may come back as something new. */
const UNLISTED_MAX_DAYS = 90;

/**
 * What a server can make grow stays bounded. What was ever offered is not forgotten for that, however much has come and
 * gone since: a server would be rid of its holds by listing enough of something else.
 * @param flooded who has taken tools from everybody that nobody was ever offered
 */
export async function forgetVersions(client: Queryable, serverId: string, flooded: string): Promise<void> {
  await client.query(
    "DELETE FROM registry.tools WHERE server_id = $1 AND unlisted_at IS NOT NULL AND removed_by = $2",
    [serverId, flooded],
  );
  await client.query(
    `DELETE FROM registry.tool_versions AS gone USING (
       SELECT tool, version,
         row_number() OVER (PARTITION BY tool ORDER BY version DESC) AS place,
         sum(octet_length(definition)) OVER (ORDER BY tool_versions.first_seen DESC, tool, version DESC) AS bytes
       FROM registry.tool_versions JOIN registry.tools USING (server_id, tool)
       WHERE server_id = $1 AND version <> served AND version <> reported AND certification <> 'approved'
     ) AS old
     WHERE gone.server_id = $1 AND gone.tool = old.tool AND gone.version = old.version
       AND (old.place > $2 OR old.bytes > $3)`,
    [serverId, VERSIONS_MAX, VERSIONS_MAX_BYTES],
  );
}

/**
 * Tools of servers that are not declared any more count as not listed from now on; what has been so for long goes, but
 * where somebody has decided on it, or it is held.
 * @param flooded as above
 */
export async function forgetTools(client: Queryable, flooded: string): Promise<void> {
  await client.query(
    `UPDATE registry.tools SET unlisted_at = now()
     WHERE unlisted_at IS NULL AND server_id NOT IN (SELECT id FROM registry.servers)`,
  );
  await client.query(
    `DELETE FROM registry.tools WHERE unlisted_at < now() - make_interval(days => $1)
       AND served = reported AND removed_by IN ('', $2)
       AND NOT EXISTS (
         SELECT FROM registry.tool_versions AS version
         WHERE version.server_id = tools.server_id AND version.tool = tools.tool
           AND (submitted_by <> '' OR decided_by <> ''))`,
    [UNLISTED_MAX_DAYS, flooded],
  );
}
