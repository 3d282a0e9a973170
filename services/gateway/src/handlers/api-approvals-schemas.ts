import type { policyV1 } from "@tollgate/contracts";
import { parseJson } from "@tollgate/mcp";
import { z } from "zod";

const PAGE_MAX = 500;
const JUSTIFICATION_MAX_CHARS = 2_000;
const STATUSES = ["pending", "approved", "denied", "expired", "revoked"] as const;

const time = z.iso.datetime();
const summary = z.object({
  id: z.string(),
  tenant: z.string(),
  principal: z.string().meta({ description: "Who wants to call" }),
  team: z.string(),
  group: z.string(),
  server: z.string(),
  tool: z.string(),
  risk: z.string(),
  justification: z.string(),
  justificationMissing: z.boolean().meta({ description: "It cannot be approved before it has one" }),
  status: z.enum(STATUSES),
  needed: z.number().int().meta({ description: "How many have to approve" }),
  votes: z.array(z.object({ by: z.string(), approve: z.boolean(), reason: z.string(), at: time })),
  requestedAt: time,
  changedAt: time,
  expiresAt: time.meta({ description: "Pending: when the request lapses; approved: when the access ends" }),
});
export const approval = summary.extend({
  arguments: z.record(z.string(), z.unknown()).meta({ description: "Of the call" }),
});
export const approvals = z.object({ items: z.array(summary), nextCursor: z.string().nullable() });
export const approvalId = z.object({ id: z.uuid() });
export const approvalQuery = z.object({
  status: z.enum(STATUSES).optional(),
  tenant: z.string().max(64).optional(),
  principal: z.string().max(512).optional(),
  limit: z.coerce.number().int().min(1).max(PAGE_MAX).default(100),
  cursor: z.string().max(100).optional(),
});
export const approvalBody = z
  .strictObject({
    server: z.string().min(1).max(64),
    tool: z.string().min(1).max(2_048).meta({ description: "As the server names it" }),
    arguments: z.record(z.string(), z.unknown()).default({}),
    justification: z.string().trim().max(JUSTIFICATION_MAX_CHARS).default(""),
  })
  .meta({
    examples: [
      { server: "filesystem", tool: "read_file", arguments: { path: "/etc/hosts" }, justification: "Release 4.2" },
    ],
  });
export const wordBody = z
  .strictObject({ reason: z.string().trim().max(JUSTIFICATION_MAX_CHARS).default("") })
  .meta({ examples: [{ reason: "It is what was agreed on" }] });

export function toSummary(given: policyV1.Approval): z.infer<typeof summary> {
  const { id, tenant, principal, team, group, server, tool, risk, justification, justificationMissing, needed } = given;
  const about = { id, tenant, principal, team, group, server, tool, risk, justification, justificationMissing, needed };
  return {
    ...about,
    status: STATUSES.find((each) => each === given.status)!,
    votes: given.votes.map(({ by, approve, reason, atMs }) => ({ by, approve, reason, at: toTime(atMs) })),
    requestedAt: toTime(given.requestedAtMs),
    changedAt: toTime(given.changedAtMs),
    expiresAt: toTime(given.expiresAtMs),
  };
}

export function toApproval(given: policyV1.Approval): z.infer<typeof approval> {
  return { ...toSummary(given), arguments: parseJson(given.arguments) as Record<string, unknown> };
}

function toTime(ms: bigint): string {
  return new Date(Number(ms)).toISOString();
}
