import type { toolsV1 } from "@tollgate/contracts";
import type { DesiredToolPolicy } from "@tollgate/desired-state";
import { parseJson } from "@tollgate/mcp";
import type { Pool } from "@tollgate/service";
import { findingsIn, riskOf } from "../domain/findings.ts";
import { differenceBetween } from "../domain/tool-difference.ts";
import { type Certification, standingOf } from "../domain/tool-standing.ts";
import { VERSIONS_MAX } from "./tool-memory.ts";

interface Row {
  readonly changes: DesiredToolPolicy["changes"];
  readonly required: DesiredToolPolicy["certification"];
  readonly served: number;
  readonly reported: number;
  readonly removedBy: string;
  readonly version: number;
  readonly hash: string;
  readonly definition: string;
  readonly certification: Certification;
  readonly firstSeen: Date;
  readonly submittedBy: string;
  readonly decidedBy: string;
  readonly decidedAt: Date | null;
  readonly comment: string;
}

/** Newest first; empty where the server has never listed such a tool. */
export async function readToolVersions(pool: Pool, serverId: string, tool: string): Promise<toolsV1.ToolVersion[]> {
  const { rows } = await pool.query<Row>(
    `SELECT tool_changes AS changes, servers.certification AS required, served, reported, removed_by AS "removedBy",
       version, hash, definition, tool_versions.certification, tool_versions.first_seen AS "firstSeen",
       submitted_by AS "submittedBy", decided_by AS "decidedBy", decided_at AS "decidedAt", comment
     FROM registry.servers JOIN registry.tools ON tools.server_id = id
     JOIN registry.tool_versions USING (server_id, tool)
     WHERE id = $1 AND tool = $2 ORDER BY version DESC LIMIT $3`,
    [serverId, tool, VERSIONS_MAX + 3],
  );
  return rows.map((row, at) => ({ serverId, tool, ...toVersion(row, { rows, older: rows[at + 1] }) }));
}

function toVersion(
  row: Row,
  { rows, older }: { rows: readonly Row[]; older: Row | undefined },
): Omit<toolsV1.ToolVersion, "serverId" | "tool"> {
  const { version, hash, definition, certification, submittedBy, decidedBy, comment, served, reported } = row;
  const of = (number: number) => rows.find((each) => each.version === number) ?? row;
  const { removedBy, changes, required } = row;
  const known = { reported: of(reported), served: of(served), removedBy };
  const { hold, shown } = standingOf(known, { changes, certification: required });
  const held = version === reported && hold !== "" && removedBy === "";
  // What waits is looked at beside what is served meanwhile.
  const before = held && served !== version ? of(served) : older;
  const parsed = parse(definition);
  const findings = findingsIn(parsed);
  return {
    version,
    hash,
    definition,
    certification,
    served: shown !== undefined && version === known[shown].version,
    held,
    findings,
    risk: certification === "approved" ? "" : (riskOf(findings) ?? ""),
    firstSeenMs: BigInt(row.firstSeen.getTime()),
    submittedBy,
    decidedBy,
    decidedAtMs: BigInt(row.decidedAt?.getTime() ?? 0),
    comment,
    difference: before === undefined ? "" : differenceBetween(parse(before.definition), parsed),
  };
}

function parse(definition: string): Record<string, unknown> {
  return parseJson(definition) as Record<string, unknown>;
}
