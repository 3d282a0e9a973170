import { NAME_PATTERN, type Parsed } from "@tollgate/contracts";
import { SUBJECT_PATTERN } from "./oauth.ts";

/** The short form of policies, in tollgate.yaml and in the API. */
export const EFFECTS = ["allow", "deny"] as const;
export const ACTIONS = [
  "tools/list",
  "tools/call",
  "resources/list",
  "resources/read",
  "prompts/list",
  "prompts/get",
] as const;
/** What the management API asks about, each of the installation as a whole. */
export const ADMIN_ACTIONS = [
  "admin/policies/read",
  "admin/policies/write",
  "admin/tokens/read",
  "admin/tokens/write",
  "admin/principals/read",
  "admin/principals/write",
  "admin/approvals/read",
  "admin/approvals/decide",
  "admin/sessions/read",
  "admin/sessions/write",
  "admin/servers/read",
  "admin/servers/write",
  "admin/tools/decide",
  "admin/secrets/read",
  "admin/secrets/write",
  "admin/tenants/read",
  "admin/tenants/write",
  "admin/state/read",
  "admin/state/write",
  "admin/audit/read",
  "admin/audit/verify",
  "admin/audit/signing-keys/write",
  "admin/audit/exports/read",
  "admin/audit/exports/write",
  "admin/audit/retention/read",
  "admin/audit/retention/write",
  "admin/recordings/read",
  "admin/usage/read",
  "admin/metering/read",
  "admin/metering/write",
  "admin/dead-letters/read",
  "admin/dead-letters/write",
] as const;
const ALL_ACTIONS = [...ACTIONS, ...ADMIN_ACTIONS] as const;

const PRINCIPAL_KINDS = ["token", "agent", "user", "role", "team", "tenant"] as const;

export type PrincipalForm =
  | { readonly kind: "any" }
  | { readonly kind: (typeof PRINCIPAL_KINDS)[number]; readonly name: string };

/** `mcp` is all of ACTIONS, `admin` all of ADMIN_ACTIONS: who gives everything away, gives nothing of administration. */
export type ActionForm =
  | { readonly kind: "mcp" | "admin" }
  | { readonly kind: "action"; readonly name: (typeof ALL_ACTIONS)[number] };

/**
 * In `server` and `tool` a `*` stands for any run of characters; everything else is literal. `tool` is the name of a
 * tool or a prompt, or the uri of a resource.
 */
export type ResourceForm =
  | { readonly kind: "any" }
  | { readonly kind: "group"; readonly group: string }
  | { readonly kind: "tool"; readonly server: string; readonly tool: string };

/** Uris are long. */
const TOOL_GLOB_MAX_CHARS = 2_048;
const SERVER_GLOB = /^[a-z0-9*-]{1,63}$/;
// oxlint-disable-next-line no-control-regex -- databases and terminals take control characters badly
const UNPRINTABLE = /[\u0000-\u001f\u007f]/;

/** `*`, `token:NAME`, `agent:NAME`, `user:SUBJECT`, `role:NAME`, `team:NAME` or `tenant:NAME`. */
export function parsePrincipal(text: string): Parsed<PrincipalForm> {
  if (text === "*") return { ok: true, value: { kind: "any" } };
  const [given, name] = splitAtColon(text);
  const kind = PRINCIPAL_KINDS.find((each) => each === given);
  if (kind === undefined || name === undefined) {
    return refuse("has to be *, token:NAME, agent:NAME, user:SUBJECT, role:NAME, team:NAME or tenant:NAME");
  }
  if (kind === "user") {
    if (SUBJECT_PATTERN.test(name)) return { ok: true, value: { kind, name } };
    return refuse("the subject after user: has to be 1 to 190 printable characters without spaces and *");
  }
  if (!NAME_PATTERN.test(name)) return refuse(`the name after ${kind}: has to be 1 to 63 of a-z, 0-9 and inner -`);
  return { ok: true, value: { kind, name } };
}

/** `*`, `admin/*`, or one of `ACTIONS` and `ADMIN_ACTIONS`. */
export function parseAction(text: string): Parsed<ActionForm> {
  if (text === "*") return { ok: true, value: { kind: "mcp" } };
  if (text === "admin/*") return { ok: true, value: { kind: "admin" } };
  const name = ALL_ACTIONS.find((each) => each === text);
  return name === undefined
    ? refuse(`has to be *, ${ACTIONS.join(", ")}, admin/* or an action of administration such as ${ADMIN_ACTIONS[0]}`)
    : { ok: true, value: { kind: "action", name } };
}

/** Whether the text, which may be no action at all, is about administration. */
export function isAdminAction(text: string): boolean {
  return text.startsWith("admin/");
}

/** `*`, `group:ID`, or `SERVER:NAME` where both may hold `*`. Names and uris may hold colons, server ids do not. */
export function parseResource(text: string): Parsed<ResourceForm> {
  if (text === "*") return { ok: true, value: { kind: "any" } };
  const [server, tool] = splitAtColon(text);
  if (tool === undefined) return refuse("has to be *, group:ID or SERVER:NAME, for example files:read_*");
  if (server === "group") {
    if (!NAME_PATTERN.test(tool)) return refuse("the id after group: has to be 1 to 63 of a-z, 0-9 and inner -");
    return { ok: true, value: { kind: "group", group: tool } };
  }
  if (!SERVER_GLOB.test(server)) return refuse("the server before the colon has to be 1 to 63 of a-z, 0-9, - and *");
  if (tool.length === 0 || tool.length > TOOL_GLOB_MAX_CHARS) {
    return refuse(`the name or uri after the colon has to be 1 to ${TOOL_GLOB_MAX_CHARS} characters long`);
  }
  if (UNPRINTABLE.test(tool) || !tool.isWellFormed())
    return refuse("the name or uri after the colon holds an unprintable character");
  return { ok: true, value: { kind: "tool", server, tool } };
}

function splitAtColon(text: string): [string, string | undefined] {
  const at = text.indexOf(":");
  return at < 0 ? [text, undefined] : [text.slice(0, at), text.slice(at + 1)];
}

function refuse(reason: string): { ok: false; reason: string } {
  return { ok: false, reason };
}
