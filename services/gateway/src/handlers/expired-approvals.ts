import type { Metadata } from "@grpc/grpc-js";
import type { EventPublisher } from "@tollgate/bus";
import type { policyV1, Risk } from "@tollgate/contracts";
import { callUnary, type Life, type Log } from "@tollgate/service";

const LOOK_INTERVAL_MS = 5_000;
const TIMEOUT_MS = 5_000;
const PAGE_MAX = 100;

/**
 * Nobody asks for what has lapsed, and policy has no stream: gateways look for it and write the events. Each of them
 * does; the event's id is the approval's own, so that the audit has it once.
 */
export function tellExpired(options: {
  client: policyV1.PolicyServiceClient;
  metadata: Metadata;
  events: EventPublisher;
  life: Life;
  log: Log;
}): void {
  const { client, metadata, events, life, log } = options;
  const asked = { tenant: "", principal: "", status: "expired", pageSize: PAGE_MAX, cursor: "" };
  let told: ReadonlySet<string> = new Set();
  let looking: Promise<void> | undefined;

  async function look(): Promise<void> {
    const unary = { metadata, timeoutMs: TIMEOUT_MS, service: "policy" };
    const { approvals } = await callUnary(client.listApprovals.bind(client), asked, unary);
    await Promise.all(approvals.filter(({ id }) => !told.has(id)).map(tell));
    told = new Set(approvals.map(({ id }) => id));
  }

  function tell(approval: policyV1.Approval): Promise<void> {
    const { id, tenant, principal, group, server, tool, risk, votes, changedAtMs } = approval;
    const reason = votes.length === 0 ? "nobody has decided in time" : "its time is over";
    const about = { tenant, principal, group, server, tool, risk: risk as Risk, approval: id, reason };
    const endedAt = Number(changedAtMs);
    return events.publish({ v: 1, kind: "approval", id, endedAt, change: "expired", ...about });
  }

  const timer = setInterval(() => {
    looking ??= look()
      .catch((error: unknown) => log.debug({ err: error }, "approvals that have lapsed could not be looked for"))
      .finally(() => (looking = undefined));
  }, LOOK_INTERVAL_MS);
  life.onClose("expired approvals", TIMEOUT_MS, async () => {
    clearInterval(timer);
    await looking;
  });
}
