import type { Pool } from "@tollgate/service";
import type { ClientBase } from "pg";
import type { ApprovalRecord, ApprovalStatus, Grant, Vote, WhichCall } from "../domain/approvals.ts";

type Queryable = Pick<ClientBase, "query"> | Pick<Pool, "query">;

/** In one transaction. */
const SWEPT_MAX = 500;

interface ApprovalRow {
  id: string;
  tenant: string;
  principal: string;
  team: string;
  server_group: string;
  server: string;
  tool: string;
  risk: string;
  digest: Buffer;
  sealed_arguments: Buffer;
  justification: string;
  status: ApprovalStatus;
  needed: number;
  requested_at: Date;
  expires_at: Date;
  changed_at: Date;
  votes: { tenant: string; by: string; approve: boolean; reason: string; at_ms: number }[] | null;
}

const SELECT = `SELECT a.*, (
    SELECT json_agg(json_build_object('tenant', v.tenant, 'by', v.by, 'approve', v.approve, 'reason', v.reason,
      'at_ms', floor(extract(epoch FROM v.voted_at) * 1000)) ORDER BY v.voted_at, v.tenant, v.by)
    FROM policy.approval_votes v WHERE v.approval = a.id
  ) AS votes FROM policy.approvals a`;

/** Those that give access now. */
export async function readGrants(client: ClientBase): Promise<Grant[]> {
  const sql = `${SELECT} WHERE status = 'approved' AND expires_at > now()`;
  const { rows } = await client.query<ApprovalRow>(sql);
  return rows.map((row) => {
    const { id, tenant, principal, server, tool, digest, expiresAtMs, votes } = toRecord(row);
    const approvedBy = votes.filter(({ approve }) => approve).map(({ by }) => by);
    return { id, tenant, principal, server, tool, digest, expiresAtMs, approvedBy };
  });
}

/** What is an answer to a request for the same call: it is open, or is answered for as long as that holds. */
export async function findStanding(
  client: ClientBase,
  call: WhichCall,
  nowMs: number,
): Promise<ApprovalRecord | undefined> {
  const { rows } = await client.query<ApprovalRow>(
    `${SELECT} WHERE tenant = $1 AND principal = $2 AND server = $3 AND tool = $4 AND digest = $5
       AND status IN ('pending', 'approved', 'denied') AND expires_at > $6 ORDER BY id DESC LIMIT 1`,
    [call.tenant, call.principal, call.server, call.tool, Buffer.from(call.digest, "hex"), new Date(nowMs)],
  );
  return rows[0] && toRecord(rows[0]);
}

export async function findApproval(client: Queryable, id: string): Promise<ApprovalRecord | undefined> {
  const { rows } = await client.query<ApprovalRow>(`${SELECT} WHERE id = $1`, [id]);
  return rows[0] && toRecord(rows[0]);
}

/** Until the transaction ends no other request of this principal is made. */
export async function lockRequests(client: ClientBase, { tenant, principal }: WhichCall): Promise<void> {
  const key = JSON.stringify(["approvals", tenant, principal]);
  await client.query("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", [key]);
}

export async function countPending(client: ClientBase, call: WhichCall, nowMs: number): Promise<number> {
  const { rows } = await client.query<{ count: string }>(
    `SELECT count(*) FROM policy.approvals
     WHERE tenant = $1 AND principal = $2 AND status = 'pending' AND expires_at > $3`,
    [call.tenant, call.principal, new Date(nowMs)],
  );
  return Number(rows[0]!.count);
}

export async function insertApproval(client: ClientBase, record: ApprovalRecord): Promise<void> {
  await client.query(
    `INSERT INTO policy.approvals (id, tenant, principal, team, server_group, server, tool, risk, digest,
       sealed_arguments, justification, status, needed, requested_at, expires_at, changed_at)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)`,
    [
      record.id,
      record.tenant,
      record.principal,
      record.team,
      record.group,
      record.server,
      record.tool,
      record.risk,
      Buffer.from(record.digest, "hex"),
      record.sealedArguments,
      record.justification,
      record.status,
      record.needed,
      new Date(record.requestedAtMs),
      new Date(record.expiresAtMs),
      new Date(record.changedAtMs),
    ],
  );
}

export async function updateApproval(
  client: ClientBase,
  { id, justification, status, expiresAtMs, changedAtMs }: ApprovalRecord,
): Promise<void> {
  await client.query(
    "UPDATE policy.approvals SET justification = $2, status = $3, expires_at = $4, changed_at = $5 WHERE id = $1",
    [id, justification, status, new Date(expiresAtMs), new Date(changedAtMs)],
  );
}

export async function insertVote(client: ClientBase, id: string, vote: Vote): Promise<void> {
  await client.query(
    "INSERT INTO policy.approval_votes (approval, tenant, by, approve, reason, voted_at) VALUES ($1, $2, $3, $4, $5, $6)",
    [id, vote.tenant, vote.by, vote.approve, vote.reason, new Date(vote.atMs)],
  );
}

export interface ApprovalFilter {
  /** Empty strings filter nothing. */
  readonly tenant: string;
  readonly principal: string;
  readonly status: string;
  readonly limit: number;
  readonly after: { readonly changedAtMs: number; readonly id: string } | undefined;
}

/** What has changed last comes first. */
export async function listApprovals(pool: Pool, filter: ApprovalFilter): Promise<ApprovalRecord[]> {
  const { tenant, principal, status, limit, after } = filter;
  const { rows } = await pool.query<ApprovalRow>(
    `${SELECT} WHERE ($1 = '' OR tenant = $1) AND ($2 = '' OR principal = $2) AND ($3 = '' OR status = $3)
       AND ($4::timestamptz IS NULL OR (changed_at, id) < ($4, $5))
     ORDER BY changed_at DESC, id DESC LIMIT $6`,
    [tenant, principal, status, after ? new Date(after.changedAtMs) : null, after?.id ?? "", limit],
  );
  return rows.map(toRecord);
}

/** Marks those whose time is over, of which it returns some at most, and forgets those that ended long ago. */
export async function sweepApprovals(
  client: ClientBase,
  nowMs: number,
  keptSinceMs: number,
): Promise<ApprovalRecord[]> {
  const { rows } = await client.query<{ id: string }>(
    `UPDATE policy.approvals SET status = 'expired', changed_at = $1
     WHERE id IN (SELECT id FROM policy.approvals WHERE status IN ('pending', 'approved') AND expires_at <= $1
       ORDER BY id LIMIT ${SWEPT_MAX} FOR UPDATE SKIP LOCKED)
     RETURNING id`,
    [new Date(nowMs)],
  );
  await client.query("DELETE FROM policy.approvals WHERE status NOT IN ('pending', 'approved') AND changed_at < $1", [
    new Date(keptSinceMs),
  ]);
  const ids = rows.map(({ id }) => id);
  return (await client.query<ApprovalRow>(`${SELECT} WHERE id = ANY($1) ORDER BY id`, [ids])).rows.map(toRecord);
}

function toRecord(row: ApprovalRow): ApprovalRecord {
  return {
    id: row.id,
    tenant: row.tenant,
    principal: row.principal,
    team: row.team,
    group: row.server_group,
    server: row.server,
    tool: row.tool,
    risk: row.risk,
    digest: row.digest.toString("hex"),
    sealedArguments: row.sealed_arguments,
    justification: row.justification,
    status: row.status,
    needed: row.needed,
    votes: (row.votes ?? []).map(({ at_ms: atMs, ...vote }) => ({ ...vote, atMs })),
    requestedAtMs: row.requested_at.getTime(),
    expiresAtMs: row.expires_at.getTime(),
    changedAtMs: row.changed_at.getTime(),
  };
}
