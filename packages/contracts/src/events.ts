import type { AccessEvent, BudgetEvent, ChangeEvent, SecretEvent, ServerEvent } from "./administration-events.ts";
import { isCallId, timeOfId } from "./ids.ts";

/** Names of groups, servers and tenants: they become subject tokens, URL segments and tool prefixes. */
export const NAME_PATTERN = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;

/**
 * How a call ended.
 * - `ok`: a result; `tool_error`: a result with `isError`; `error`: a JSON-RPC error from the server or the runner
 * - `cancelled`: by the client; `timeout`: its deadline passed
 * - `unknown`: it was handed to the server, which may or may not have run it (invariant 3)
 */
export const OUTCOMES = ["ok", "tool_error", "error", "cancelled", "timeout", "unknown"] as const;
export type Outcome = (typeof OUTCOMES)[number];

export interface Decision {
  readonly allow: boolean;
  readonly policies: readonly string[];
  readonly revision: number;
  readonly reason: string;
  /** The approval that it rests on. */
  readonly approval?: string;
}

/** What a tool can do, and so what a call of it demands (docs/risk.md). */
export const RISKS = ["LOW", "MEDIUM", "HIGH", "CRITICAL"] as const;
export type Risk = (typeof RISKS)[number];

/** What the decision knew beside who and what, so that it can be repeated. Absent: LOW, none, not known. */
export interface DecisionFacts {
  readonly roles?: readonly string[];
  /** The client's address. */
  readonly address?: string;
  readonly environment?: string;
  readonly risk?: Risk;
  readonly sandboxed?: true;
  /** How the user has signed in. */
  readonly amr?: readonly string[];
  readonly acr?: string;
  /** Unix milliseconds at which the user has signed in. */
  readonly signedInAt?: number;
  /** What proved who it is: the token's or certificate's name, or the issuer. */
  readonly credential?: string;
}

/** How soon calls are due, as a tenant's plan says. Runners weigh them. */
export const LANES = ["interactive", "standard", "batch"] as const;
export type Lane = (typeof LANES)[number];

/** Who called, as policy resolved it. Never holds a credential. */
export interface Caller {
  readonly principal: string;
  readonly tenant: string;
  readonly team: string;
  readonly client: string;
}

/** What the gateway knows of a call when it takes it in. Carried through CALLS and repeated in the outcome event. */
export interface CallFacts extends Caller, DecisionFacts {
  readonly group: string;
  readonly server: string;
  /** As the server names it, without prefix: the tool or prompt, or a resource's uri; empty where a method has neither. */
  readonly tool: string;
  readonly method: string;
  /** The client's protocol revision. */
  readonly protocol: string;
  readonly decision: Decision;
  /** Unix milliseconds. */
  readonly acceptedAt: number;
  readonly requestBytes: number;
  readonly traceparent?: string;
  readonly session?: string;
}

/** `audit.v1.<tenant>.call`: exactly one for each call taken in. */
export interface CallEvent extends CallFacts {
  readonly v: 1;
  readonly kind: "call";
  readonly id: string;
  readonly outcome: Outcome;
  /** Why, where the outcome is not `ok`; at most 500 characters, without arguments or results. */
  readonly reason?: string;
  /** JSON-RPC error code, where there was one. */
  readonly errorCode?: number;
  /** Unix milliseconds at which the server was handed the call; absent when it never was. */
  readonly startedAt?: number;
  /** Unix milliseconds. */
  readonly endedAt: number;
  /** Milliseconds with three decimals: waiting on the stream and in the pool's queue. */
  readonly queueMs: number;
  /** Milliseconds with three decimals, in the server. */
  readonly durationMs: number;
  readonly responseBytes: number;
  readonly runner: string;
  readonly coldStart: boolean;
  /** With `coldStart`: how many calls waited for that start, this one among them. They share its price. */
  readonly coldStartCalls?: number;
  /** CPU milliseconds, with three decimals, of the server's processes while they had this call; absent for remote servers. */
  readonly cpuMs?: number;
  /** HMAC-SHA256 of the arguments and of the result, each as it was written: `<key id>:<hexadecimal>`. */
  readonly argumentsHash?: string;
  readonly resultHash?: string;
  /** What a policy or the risk level has asked to keep. */
  readonly recorded?: Recording;
  /** How often it was handed to a server, where that was more than once. */
  readonly attempts?: number;
  /** How often connectors have asked their APIs for it, where that was more than once. */
  readonly apiRequests?: number;
  /** Who answered in the place of `server`, which could not. */
  readonly fallback?: CallFallback;
}

/** Another server's tool, with the decision that allowed it; or a result that was kept from an earlier call. */
export type CallFallback =
  | { readonly server: string; readonly tool: string; readonly decision: Decision }
  | { readonly cachedAt: number };

/** What of a call may be kept whole. */
export const RECORDABLE = ["arguments", "result"] as const;
export type Recordable = (typeof RECORDABLE)[number];

/**
 * Encrypted with AES-256-GCM: base64 of nonce (12 bytes), ciphertext and tag (16 bytes). The additional data is
 * `<call id>.arguments` or `<call id>.result`.
 */
export interface Recording {
  readonly keyId: string;
  readonly arguments?: string;
  readonly result?: string;
  /** Asked for, and too large for an event. */
  readonly omitted?: readonly Recordable[];
}

/** `audit.v1.<tenant>.refusal`: a request that was not let in. */
export interface RefusalEvent extends Partial<Caller>, DecisionFacts {
  readonly v: 1;
  readonly kind: "refusal";
  readonly id: string;
  readonly tenant: string;
  /** Unix milliseconds. */
  readonly endedAt: number;
  readonly code: "unauthenticated" | "denied" | "overloaded";
  readonly reason: string;
  readonly method: string;
  /** Where a failed authentication was tried. */
  readonly transport?: "http" | "sse" | "websocket" | "api";
  readonly group?: string;
  readonly server?: string;
  readonly tool?: string;
  readonly decision?: Decision;
  /** How many refusals of this kind this event stands for, where a flood was folded into one. */
  readonly count: number;
}

/** `audit.v1.<tenant>.approval`: what became of a request for approval. */
export interface ApprovalEvent {
  readonly v: 1;
  readonly kind: "approval";
  readonly id: string;
  readonly tenant: string;
  /** Unix milliseconds. */
  readonly endedAt: number;
  readonly change: "requested" | "voted" | "approved" | "denied" | "revoked" | "expired";
  /** The approval's id. */
  readonly approval: string;
  /** Who wants to call. */
  readonly principal: string;
  /** Who has changed it, where that is somebody else. */
  readonly by?: string;
  readonly group: string;
  readonly server: string;
  readonly tool: string;
  readonly risk: Risk;
  readonly reason: string;
}

/** `audit.v1.<tenant>.alert`: what somebody has to look at now. */
export interface AlertEvent {
  readonly v: 1;
  readonly kind: "alert";
  readonly id: string;
  readonly tenant: string;
  /** Unix milliseconds. */
  readonly endedAt: number;
  /**
   * `critical_call`: a call of a CRITICAL tool was asked for or let in; `authentication`: failures keep coming;
   * `missing_events`: messages of the stream were gone before they were recorded; `broken_chain`: a chain of the record
   * is not what was signed; `tool_changed`: a server has given a tool another definition, which waits for approval;
   * `suspicious_tool`: a definition could mislead a model, or too many of a server's tools have come and gone.
   */
  readonly code:
    | "critical_call"
    | "authentication"
    | "missing_events"
    | "broken_chain"
    | "tool_changed"
    | "suspicious_tool";
  readonly principal?: string;
  readonly group?: string;
  readonly server?: string;
  readonly tool?: string;
  readonly approval?: string;
  readonly address?: string;
  readonly reason: string;
}

export type AuditEvent =
  | CallEvent
  | RefusalEvent
  | ApprovalEvent
  | AlertEvent
  | ChangeEvent
  | SecretEvent
  | ServerEvent
  | AccessEvent
  | BudgetEvent;

export const KINDS = [
  "call",
  "refusal",
  "approval",
  "alert",
  "change",
  "secret",
  "server",
  "access",
  "budget",
] as const satisfies readonly AuditEvent["kind"][];

/** What a server may learn of the client beside its request. */
export interface ClientSide {
  readonly era: "legacy" | "modern";
  /** As the client declared them: in initialize, or in `_meta`. */
  readonly capabilities: Readonly<Record<string, unknown>>;
  /** `clientInfo`, as the client gave it. */
  readonly info?: Readonly<Record<string, unknown>>;
  readonly logLevel?: string;
  /** For servers that ask for the session's context. */
  readonly workspace?: string;
}

/** A tool that may answer in another's place. */
export interface FallbackTool {
  readonly server: string;
  readonly tool: string;
  /** Declared read-only or idempotent. */
  readonly retrySafe: boolean;
  readonly decision: Decision;
  /** What has to be kept whole of a call that it answers, beside what its own tool asks for. */
  readonly record?: readonly Recordable[];
}

/** What a CALLS message says of each call, beside its frame. */
export interface CallEnvelope {
  readonly id: string;
  /** The gateway instance that waits for the reply. */
  readonly gateway: string;
  /** Unix milliseconds. */
  readonly deadline: number;
  /** Declared read-only or idempotent: may run again after a crash. */
  readonly retrySafe: boolean;
  /** Several servers are behind the client's route: names and uris in what comes back say which one they are of. */
  readonly prefixed: boolean;
  readonly client: ClientSide;
  /** The client has asked for a stream: every frame has a place, however few there are. */
  readonly stream?: true;
  /** Other tools that may answer when this one cannot, in this order, each allowed to the caller by itself. */
  readonly fallbacks?: readonly FallbackTool[];
  /** Absent means standard. */
  readonly lane?: Lane;
  /** The tenant's share among those of its lane, where it is not 1. */
  readonly weight?: number;
  /** The call that waits in a runner and goes on with the answers in this frame. */
  readonly parked?: string;
  /** What of it has to be kept whole. */
  readonly record?: readonly Recordable[];
  readonly facts: CallFacts;
}

/** What a reply says of a frame for one call. After `final` nothing follows. */
export interface ReplyEnvelope {
  readonly id: string;
  readonly final: boolean;
  /** The runner that holds the connection of this call's session from now on. */
  readonly runner?: string;
  /**
   * The frame's place in the call's stream, from 1. Absent for a call that is answered with one frame: only streams can
   * be resumed.
   */
  readonly place?: number;
  /** Whose stream it is (`streamOwner`): nobody else may resume it. With `place`. */
  readonly owner?: string;
  /** The frame asks the client something: the call waits for people now. */
  readonly asks?: true;
}

/** Who may resume a call's stream. */
export function streamOwner({
  tenant,
  principal,
  session,
}: Pick<CallFacts, "tenant" | "principal" | "session">): string {
  return `${tenant}\n${principal}\n${session ?? ""}`;
}

/** What a client sends to the runner that holds its connections: an answer, a notice, or that its session has ended. */
export interface AnswerEnvelope {
  readonly session: string;
  /** There is no frame: the connections of the session are needed no more. */
  readonly ended?: true;
}

/** What some clients of one gateway want to hear of: renewed as long as they do. */
export interface Interest {
  readonly tenant: string;
  readonly server: string;
  /** Resources whose updates are wanted, as the server knows them. */
  readonly uris: readonly string[];
  /** The session whose own connection it concerns as well, where there is one. */
  readonly session?: string;
}

/** A resource has changed. */
export interface ResourceUpdate {
  readonly tenant: string;
  readonly server: string;
  readonly uri: string;
  /** For this session only: it came on its own connection. */
  readonly session?: string;
}

/** A question's id as its client sees it: says which runner waits for the answer, so that any gateway can pass it on. */
export function questionId(runner: string, number: number): string {
  return `tollgate-${runner}-${number}`;
}

/** The runner that waits for the answer to this id, or undefined when it is not a question's. */
export function runnerOfQuestion(id: unknown): string | undefined {
  return typeof id === "string" ? /^tollgate-(r-[a-z0-9]+)-\d+$/.exec(id)?.[1] : undefined;
}

/** A session's call that takes longer than this is a stream even with one frame: its client may lose patience. */
export const STREAM_AFTER_MS = 2_000;

/** How long a call waits for people: for each question its deadline moves this far, at the most. */
export const QUESTION_TIMEOUT_MS = 600_000;

export type Parsed<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly reason: string };

/** Of one line: readers refuse longer ones. */
export const EVENT_MAX_CHARS = 65_536;
const SHOWN_MAX_CHARS = 40;
/** Rows are kept by the time in the id; one that is far from the event's own time would open a partition of its own. */
const ID_DRIFT_MAX_MS = 7 * 86_400_000;

/** Parses one line of an AUDIT message. Unknown fields are kept: a newer writer's event is stored whole. */
export function parseAuditEvent(line: string): Parsed<AuditEvent> {
  if (line.length > EVENT_MAX_CHARS) return refuse(`longer than ${EVENT_MAX_CHARS} characters`);
  let event: Partial<CallEvent> | Partial<RefusalEvent> | null;
  try {
    event = JSON.parse(line) as Partial<CallEvent> | Partial<RefusalEvent> | null;
  } catch (error) {
    return refuse(`not JSON: ${(error as Error).message}`);
  }
  if (typeof event !== "object" || event === null) return refuse("not an object");
  if (event.v !== 1) return refuse(`unknown version ${shown(event.v)}`);
  if (!isCallId(event.id)) return refuse("id is not a UUIDv7");
  if (typeof event.tenant !== "string" || !NAME_PATTERN.test(event.tenant)) return refuse("tenant is not a name");
  if (!Number.isSafeInteger(event.endedAt)) return refuse("endedAt is not a time in milliseconds");
  if (Math.abs(timeOfId(event.id) - event.endedAt!) > ID_DRIFT_MAX_MS)
    return refuse("the id's time is not the event's");
  if (event.kind === "refusal") {
    if (typeof event.code !== "string") return refuse("a refusal without a code");
    return { ok: true, value: event as RefusalEvent };
  }
  if (event.kind === "call") return checkCall(event);
  const other = event as Readonly<Record<string, unknown>>;
  // Of each kind the field that says what happened.
  const telling = TELLING_FIELDS.get(String(other["kind"]));
  if (telling !== undefined && typeof other[telling] === "string")
    return { ok: true, value: event as unknown as AuditEvent };
  return refuse(`unknown kind ${shown((event as { kind?: unknown }).kind)}`);
}

const TELLING_FIELDS: ReadonlyMap<string, string> = new Map<AuditEvent["kind"], string>([
  ["approval", "change"],
  ["alert", "code"],
  ["change", "change"],
  ["secret", "secret"],
  ["server", "state"],
  ["access", "action"],
  ["budget", "budget"],
]);

const CALL_TEXTS = ["principal", "team", "client", "group", "server", "tool", "method", "runner"] as const;
const CALL_NUMBERS = ["acceptedAt", "queueMs", "durationMs", "requestBytes", "responseBytes"] as const;

function checkCall(event: Partial<CallEvent>): Parsed<AuditEvent> {
  for (const name of CALL_TEXTS) if (typeof event[name] !== "string") return refuse(`${name} is not a string`);
  for (const name of CALL_NUMBERS) if (!Number.isFinite(event[name])) return refuse(`${name} is not a number`);
  if (!OUTCOMES.includes(event.outcome as Outcome)) return refuse(`unknown outcome ${shown(event.outcome)}`);
  if (typeof event.decision !== "object" || event.decision === null) return refuse("a call without a decision");
  return { ok: true, value: event as CallEvent };
}

/** Never the whole of it, and never an object's text: making that can throw, by its depth or a `toString` of its own. */
function shown(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(value.slice(0, SHOWN_MAX_CHARS));
  return typeof value === "number" ? String(value) : value === null ? "null" : typeof value;
}

function refuse(reason: string): { ok: false; reason: string } {
  return { ok: false, reason };
}
