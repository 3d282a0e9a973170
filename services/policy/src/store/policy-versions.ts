import type { ClientBase } from "pg";
import type { PolicyRecord } from "../domain/policy.ts";
import { type PolicyRow, toRecord } from "./policies.ts";

/** Of one policy; the oldest of more are not shown. */
const VERSIONS_SHOWN_MAX = 500;

/** The policy as it was put, or as it was when it was deleted. */
export interface PolicyVersion {
  readonly policy: PolicyRecord;
  readonly change: "put" | "delete";
}

type VersionRow = PolicyRow & Pick<PolicyVersion, "change">;

const SELECT = "SELECT *, changed_at AS updated_at, changed_by AS updated_by FROM policy.policy_history";

/** Newest first. */
export async function readVersions(client: ClientBase, id: string): Promise<PolicyVersion[]> {
  const sql = `${SELECT} WHERE id = $1 ORDER BY version DESC LIMIT ${VERSIONS_SHOWN_MAX}`;
  return (await client.query<VersionRow>(sql, [id])).rows.map(toVersion);
}

export async function findVersion(client: ClientBase, id: string, version: number): Promise<PolicyVersion | undefined> {
  const { rows } = await client.query<VersionRow>(`${SELECT} WHERE id = $1 AND version = $2`, [id, version]);
  return rows[0] && toVersion(rows[0]);
}

function toVersion(row: VersionRow): PolicyVersion {
  return { policy: toRecord(row), change: row.change };
}
