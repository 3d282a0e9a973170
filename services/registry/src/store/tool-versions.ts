import type { Pool } from "@tollgate/service";
import type { KeptVersion } from "../domain/tool-history.ts";
import { VERSIONS_MAX } from "./tool-memory.ts";

/** Newest first; empty where the server has never listed such a tool. */
export async function readToolVersions(pool: Pool, serverId: string, tool: string): Promise<KeptVersion[]> {
  const { rows } = await pool.query<KeptVersion>(
    `SELECT tool_changes AS changes, servers.certification AS required, served, reported, removed_by AS "removedBy",
       version, hash, definition, tool_versions.certification, tool_versions.first_seen AS "firstSeen",
       submitted_by AS "submittedBy", decided_by AS "decidedBy", decided_at AS "decidedAt", comment
     FROM registry.servers JOIN registry.tools ON tools.server_id = id
     JOIN registry.tool_versions USING (server_id, tool)
     WHERE id = $1 AND tool = $2 ORDER BY version DESC LIMIT $3`,
    [serverId, tool, VERSIONS_MAX + 3],
  );
  return rows;
}
