import type { policyV1 } from "@tollgate/contracts";
import { LATEST_LEGACY_REVISION } from "@tollgate/mcp";
import type { Refusal } from "./http-checks.ts";

/** MCP 2025-11-25, URLElicitationRequiredError. */
const URL_ELICITATION_REQUIRED = -32_042;
const PERMISSION_DENIED = -32_003;
const JUSTIFICATION_MAX_CHARS = 2_000;

/** Of what a client may send beside its call; the gateway's own. */
const JUSTIFICATION_KEY = "tollgate/justification";
const FORM_KEY = "justification";
const PAGE_KEY = "approval";

/** A call that people have to approve of first. */
export interface Waiting {
  readonly approval: policyV1.Approval;
  /** Of the page where it is decided. */
  readonly url: string;
  /** As the client calls the tool. */
  readonly named: string;
  /** Why its risk is more than what is declared of it; empty where it is not. */
  readonly riskReason: string;
}

interface ClientKind {
  readonly era: "legacy" | "modern";
  readonly protocol: string;
  readonly capabilities: Readonly<Record<string, unknown>>;
}

/** What a client offers its user: an empty capability means forms only (MCP, elicitation). */
function modesOf({ capabilities }: ClientKind): { readonly form: boolean; readonly url: boolean } {
  const { elicitation } = capabilities;
  if (typeof elicitation !== "object" || elicitation === null) return { form: false, url: false };
  const url = "url" in elicitation;
  return { form: "form" in elicitation || !url, url };
}

/**
 * What a modern client's user is asked: why, where that is missing, and to open the page. Undefined where the client
 * can do neither.
 */
export function inputRequestsOf(waiting: Waiting, client: ClientKind): Record<string, object> | undefined {
  if (client.era !== "modern") return undefined;
  const { approval, url } = waiting;
  const modes = modesOf(client);
  const requests: Record<string, object> = {};
  const message = messageOf(waiting);
  if (approval.justificationMissing && modes.form) {
    const justification = { type: "string", title: "Justification", minLength: 1, maxLength: JUSTIFICATION_MAX_CHARS };
    const requestedSchema = { type: "object", properties: { justification }, required: ["justification"] };
    requests[FORM_KEY] = { method: "elicitation/create", params: { mode: "form", message, requestedSchema } };
  }
  if (modes.url) {
    const params = { mode: "url", message, url, elicitationId: approval.id };
    requests[PAGE_KEY] = { method: "elicitation/create", params };
  }
  return Object.keys(requests).length === 0 ? undefined : requests;
}

/** What the user has answered: the justification, and whether they do not want to go on. */
export function readResponses(given: unknown): { readonly justification: string; readonly declined: boolean } {
  const responses = (given ?? {}) as Readonly<Record<string, { action?: unknown; content?: unknown } | null>>;
  const answers = [responses[FORM_KEY], responses[PAGE_KEY]].filter(
    (each) => typeof each === "object" && each !== null,
  );
  const content = responses[FORM_KEY]?.content as { justification?: unknown } | null | undefined;
  const declined = answers.some((each) => each.action !== "accept");
  const justification = content?.justification;
  return { justification: !declined && typeof justification === "string" ? justification.trim() : "", declined };
}

/** What a client may say in every revision. */
export function justificationIn(meta: unknown): string {
  const given = (meta as Record<string, unknown> | null | undefined)?.[JUSTIFICATION_KEY];
  return typeof given === "string" ? given.trim() : "";
}

/** The page opens for clients of 2025-11-25 that can do that; others are told in words how to go on. */
export function waitingError(waiting: Waiting, client: ClientKind): Refusal {
  const { approval, url } = waiting;
  const message = messageOf(waiting);
  const { id: approvalId, status, needed } = approval;
  const data = { code: "permission_denied", retryable: false, approvalId, url, status, needed, how: howOf(approval) };
  if (client.protocol !== LATEST_LEGACY_REVISION || !modesOf(client).url)
    return { status: 200, code: PERMISSION_DENIED, message: `${message} ${data.how}`, data };
  const elicitations = [{ mode: "url", elicitationId: approvalId, url, message }];
  return { status: 200, code: URL_ELICITATION_REQUIRED, message, data: { ...data, elicitations } };
}

function messageOf({ approval, named, riskReason }: Waiting): string {
  const { needed, risk } = approval;
  const people = needed === 1 ? "somebody else has" : `${needed} others have`;
  const why = riskReason === "" ? "" : ` (${riskReason})`;
  return `${named} is of ${risk} risk${why}: ${people} to approve of this call first.`;
}

function howOf({ id, justificationMissing }: policyV1.Approval): string {
  const why = `Say why: in params._meta["${JUSTIFICATION_KEY}"] of the same call, or on the page.`;
  const wait = `Send the same call again once the approval ${id} is given; another call needs another approval.`;
  return justificationMissing ? `${why} ${wait}` : wait;
}

/** Of a request that was denied: it stays so for a while. */
export function deniedReason({ votes }: policyV1.Approval): string {
  const vote = votes.find(({ approve }) => !approve);
  return vote === undefined ? "denied" : `denied by ${vote.by}: ${vote.reason}`;
}
