import { isCallId, NAME_PATTERN, newCallId, type policyV1 } from "@tollgate/contracts";
import { AppError } from "@tollgate/errors";
import { enqueueEvents, type Life, type Log, type Pool, unary, withTransaction } from "@tollgate/service";
import {
  type ApprovalRecord,
  type ByApproval,
  canonicalJson,
  type Choice,
  CHOICES,
  demandOf,
  hear,
  lacksJustification,
  mayKnow,
  statusAt,
  type WhichCall,
  withApproval,
} from "../domain/approvals.ts";
import type { PolicyState } from "../domain/state.ts";
import * as store from "../store/approvals.ts";
import type { SealedArguments } from "../store/sealed-arguments.ts";
import { approvalEvent } from "./approval-events.ts";
import type { Dependencies, Methods } from "./dependencies.ts";

const ARGUMENTS_MAX_BYTES = 65_536;
const JUSTIFICATION_MAX_CHARS = 2_000;
const NAME_MAX_CHARS = 2_000;
const PENDING_MAX = 100;
const PAGE_MAX = 500;
const SWEEP_INTERVAL_MS = 2_000;
/** The audit has them for longer. */
const KEPT_MS = 90 * 86_400_000;

/** Calls that people have to approve of. */
export function approvalMethods(
  dependencies: Dependencies,
): Methods<"requestApproval" | "listApprovals" | "getApproval" | "decideApproval"> {
  const { log } = dependencies;
  return {
    requestApproval: unary(log, (request) => ask(dependencies, request)),
    listApprovals: unary(log, (request) => list(dependencies, request)),
    getApproval: unary(log, async ({ id }) => {
      const record = await findKnown(dependencies.pool, id);
      return { approval: { ...shown(dependencies, record), arguments: opened(dependencies, record) } };
    }),
    decideApproval: unary(log, (request) => decide(dependencies, request)),
  };
}

type Decided = Parameters<typeof withApproval>[0];

/** What a verdict on `tools/call` becomes where people have to approve of the call. */
export function approvalCheck(options: {
  readonly request: policyV1.DecideRequest;
  readonly state: PolicyState;
  readonly sealed: SealedArguments;
  readonly nowMs: number;
}): <D extends Decided>(decision: D, resource: policyV1.Resource) => D & ByApproval {
  const { request, state, sealed, nowMs } = options;
  const { principal, action, arguments: given } = request;
  // Once for all resources of a question.
  let digest: string | undefined;
  return (decision, resource) => {
    const demand = action === "tools/call" ? demandOf(state.settings.riskLevels, resource.risk) : undefined;
    const isNamed = demand !== undefined && given !== undefined && principal !== undefined && decision.allow;
    const call = isNamed ? callOf(principal, resource, (digest ??= digestOf(sealed, given))) : undefined;
    return withApproval(decision, { demand, grants: state.grants, call, nowMs });
  };
}

function callOf(principal: policyV1.Principal, { server, tool }: policyV1.Resource, digest: string): WhichCall {
  return { tenant: principal.tenant, principal: principal.id, server, tool, digest };
}

function digestOf(sealed: SealedArguments, given: string): string {
  try {
    return sealed.digest(canonicalJson(given));
  } catch (error) {
    throw new AppError("invalid_argument", "arguments: have to be JSON", { cause: error });
  }
}

async function ask(
  dependencies: Dependencies,
  request: policyV1.RequestApprovalRequest,
): Promise<policyV1.RequestApprovalResponse> {
  const { authority, pool, sealed } = dependencies;
  const { principal, resource, arguments: given, justification } = request;
  if (principal === undefined || resource === undefined || resource.tool === "")
    throw new AppError("invalid_argument", "principal and resource.tool: are needed");
  checkNames(principal, resource);
  if (Buffer.byteLength(given) > ARGUMENTS_MAX_BYTES)
    throw new AppError("payload_too_large", `arguments: more than ${ARGUMENTS_MAX_BYTES} bytes cannot be approved`);
  if (justification.length > JUSTIFICATION_MAX_CHARS)
    throw new AppError("invalid_argument", `justification: is longer than ${JUSTIFICATION_MAX_CHARS} characters`);
  const { riskLevels } = authority.current().settings;
  const demand = demandOf(riskLevels, resource.risk);
  if (demand === undefined)
    throw new AppError("failed_precondition", `nobody has to approve of a call of ${resource.server}:${resource.tool}`);
  const call = callOf(principal, resource, digestOf(sealed, given));
  const nowMs = Date.now();

  const { record, created } = await withTransaction(pool, async (client) => {
    await store.lockRequests(client, call);
    const standing = await store.findStanding(client, call, nowMs);
    // What was approved when fewer had to is no answer any more.
    if (standing !== undefined && !(standing.status === "approved" && standing.votes.length < demand.approvals)) {
      const isCompleted = standing.status === "pending" && standing.justification === "" && justification !== "";
      if (!isCompleted) return { record: standing, created: false };
      const completed = { ...standing, justification, changedAtMs: nowMs };
      await store.updateApproval(client, completed);
      await enqueueEvents(client, "policy", [requested(completed)]);
      return { record: completed, created: true };
    }
    if ((await store.countPending(client, call, nowMs)) >= PENDING_MAX)
      throw new AppError("overloaded", `${principal.id} waits for ${PENDING_MAX} approvals already`);
    const id = newCallId(nowMs);
    const { group, risk } = resource;
    const about = { ...call, id, team: principal.team, group, risk, justification, needed: demand.approvals };
    const times = { requestedAtMs: nowMs, changedAtMs: nowMs, expiresAtMs: nowMs + riskLevels.approvalTimeoutMs };
    const sealedArguments = sealed.seal(given, id);
    const made: ApprovalRecord = { ...about, ...times, status: "pending", votes: [], sealedArguments };
    await store.insertApproval(client, made);
    await enqueueEvents(client, "policy", [requested(made)]);
    return { record: made, created: true };
  });
  return { approval: shown(dependencies, record), created };
}

/** What becomes of it has to fit into an event. @throws {AppError} invalid_argument */
function checkNames({ tenant, id }: policyV1.Principal, { group, server, tool }: policyV1.Resource): void {
  if (!NAME_PATTERN.test(tenant)) throw new AppError("invalid_argument", "principal.tenant: has to be a name");
  if ([id, group, server, tool].every((name) => name.length <= NAME_MAX_CHARS)) return;
  throw new AppError("invalid_argument", `principal, resource: a name is longer than ${NAME_MAX_CHARS} characters`);
}

function requested(record: ApprovalRecord) {
  return approvalEvent(record, { change: "requested", reason: record.justification });
}

async function list(
  dependencies: Dependencies,
  request: policyV1.ListApprovalsRequest,
): Promise<policyV1.ListApprovalsResponse> {
  const { tenant, status, principal, pageSize, cursor } = request;
  if (pageSize < 1 || pageSize > PAGE_MAX)
    throw new AppError("invalid_argument", `page_size: has to be 1 to ${PAGE_MAX}`);
  const filter = { tenant, status, principal, after: cursor === "" ? undefined : fromCursor(cursor) };
  // One more than wanted, to know whether there is another page.
  const found = await store.listApprovals(dependencies.pool, { ...filter, limit: pageSize + 1 });
  const page = found.slice(0, pageSize);
  const last = page.at(-1);
  return {
    approvals: page.map((record) => shown(dependencies, record)),
    nextCursor: found.length > pageSize && last ? `${last.changedAtMs}.${last.id}` : "",
  };
}

function fromCursor(cursor: string): { changedAtMs: number; id: string } {
  const [time, id] = cursor.split(".");
  const changedAtMs = Number(time);
  if (!Number.isNaN(new Date(changedAtMs).getTime()) && isCallId(id)) return { changedAtMs, id };
  throw new AppError("invalid_argument", "cursor: is not one that was given");
}

async function decide(
  dependencies: Dependencies,
  { id, decision, reason, by }: policyV1.DecideApprovalRequest,
): Promise<policyV1.DecideApprovalResponse> {
  const { authority, log, metrics } = dependencies;
  const choice = CHOICES.find((each) => each === decision);
  if (choice === undefined) throw new AppError("invalid_argument", `decision: has to be one of ${CHOICES.join(", ")}`);
  if (by === undefined) throw new AppError("invalid_argument", "by: is missing");
  if (reason.length > JUSTIFICATION_MAX_CHARS)
    throw new AppError("invalid_argument", `reason: is longer than ${JUSTIFICATION_MAX_CHARS} characters`);
  let decided: ApprovalRecord | undefined;
  // Changes are made one after the other: nobody else decides meanwhile.
  const state = await authority.change(by.id, async (client) => {
    const record = await findKnown(client, id);
    if (!mayKnow(by, record)) throw notThere();
    const nowMs = Date.now();
    const demand = demandOf(authority.current().settings.riskLevels, record.risk);
    const heard = hear(record, { choice, reason, by }, { demand, nowMs });
    if (!heard.ok) throw new AppError(heard.code, heard.reason);
    const { status, expiresAtMs } = heard;
    decided = { ...record, status, expiresAtMs, changedAtMs: nowMs };
    await store.updateApproval(client, decided);
    if (choice !== "revoke") {
      const vote = { tenant: by.tenant, by: by.id, approve: choice === "approve", reason, atMs: nowMs };
      await store.insertVote(client, id, vote);
      decided = { ...decided, votes: [...record.votes, vote] };
    }
    const change = status === "pending" ? "voted" : status;
    await enqueueEvents(client, "policy", [approvalEvent(decided, { change, reason, by: by.id })]);
    return status === "approved" || status === "revoked" ? ["approvals"] : [];
  });
  metrics.changes.inc({ kind: "decide_approval" });
  log.info(
    { approval: id, decision: choice satisfies Choice, actor: by.id, revision: state.revision },
    "approval decided",
  );
  return { approval: shown(dependencies, decided!), revision: BigInt(state.revision) };
}

/** @throws {AppError} not_found */
async function findKnown(client: Parameters<typeof store.findApproval>[0], id: string): Promise<ApprovalRecord> {
  const record = isCallId(id) ? await store.findApproval(client, id) : undefined;
  if (record === undefined) throw notThere();
  return record;
}

function notThere(): AppError {
  return new AppError("not_found", "there is no such approval");
}

function opened({ sealed }: Dependencies, record: ApprovalRecord): string {
  return sealed.open(record.sealedArguments, record.id);
}

/** Without the arguments. */
function shown({ authority }: Dependencies, record: ApprovalRecord): policyV1.Approval {
  const { digest: _digest, sealedArguments: _sealed, ...told } = record;
  const demand = demandOf(authority.current().settings.riskLevels, record.risk);
  return {
    ...told,
    arguments: "",
    status: statusAt(record, Date.now()),
    needed: Math.max(record.needed, demand?.approvals ?? 0),
    votes: record.votes.map(({ by, approve, reason, atMs }) => ({ by, approve, reason, atMs: BigInt(atMs) })),
    requestedAtMs: BigInt(record.requestedAtMs),
    expiresAtMs: BigInt(record.expiresAtMs),
    justificationMissing: record.status === "pending" && lacksJustification(record, demand),
    changedAtMs: BigInt(record.changedAtMs),
  };
}

function expired(record: ApprovalRecord) {
  const reason = record.votes.length === 0 ? "nobody has decided in time" : "its time is over";
  return approvalEvent(record, { change: "expired", reason });
}

/** Marks what has lapsed, so that lists and the record say so. What is decided never waits for this. */
export function keepSwept({ pool, life, log }: { pool: Pool; life: Life; log: Log }): void {
  let sweeping: Promise<void> | undefined;
  const sweep = (): Promise<void> =>
    withTransaction(pool, async (client) => {
      const nowMs = Date.now();
      const lapsed = await store.sweepApprovals(client, nowMs, nowMs - KEPT_MS);
      await enqueueEvents(client, "policy", lapsed.map(expired));
    });
  const timer = setInterval(() => {
    sweeping ??= sweep()
      .catch((error: unknown) => log.warn({ err: error }, "approvals that have lapsed could not be marked"))
      .finally(() => (sweeping = undefined));
  }, SWEEP_INTERVAL_MS);
  life.onClose("approvals", 2_000, async () => {
    clearInterval(timer);
    await sweeping;
  });
}
