import {
  type ActionForm,
  ACTIONS,
  parseAction,
  parsePrincipal,
  parseResource,
  type PrincipalForm,
  type ResourceForm,
} from "@tollgate/desired-state";
import type { Parsed } from "@tollgate/contracts";
import type { ShortPolicy } from "./policy.ts";

/**
 * The entities that policies speak of, in Cedar's schema language
 * (https://docs.cedarpolicy.com/schema/human-readable-schema.html). A resource without a tool is a whole server: its
 * `tool` is empty. Otherwise `tool` is the name of a tool or a prompt, or the uri of a resource; the action says which.
 * `sandboxed` is whether the server's processes are in a sandbox.
 */
export const CEDAR_SCHEMA = `
entity Role, Team, Tenant;
entity Token, User in [Role, Team, Tenant];
entity Group;
entity Server in [Group] { server: String, tool: String, sandboxed: Bool };
entity Tool in [Server, Group] { server: String, tool: String, sandboxed: Bool };
action ${ACTIONS.map(quote).join(", ")} appliesTo { principal: [Token, User], resource: [Server, Tool], context: {} };
`;

const ENTITY_TYPES = { token: "Token", user: "User", role: "Role", team: "Team", tenant: "Tenant" } as const;

/**
 * The Cedar text of a policy in the short form. Nothing in a policy's parts can leave the string that it is put into.
 * @throws {Error} when a part is not of the grammar; whoever took the policy in has checked that
 */
export function toCedarText(policy: ShortPolicy): string {
  const conditions = [
    anyOf(policy.principals.map((text) => principalTest(valueOf(parsePrincipal(text))))),
    anyOf(policy.resources.map((text) => resourceTest(valueOf(parseResource(text))))),
    sandboxTest(policy),
  ].filter((condition) => condition !== undefined);
  const effect = policy.effect === "allow" ? "permit" : "forbid";
  const scope = `principal, ${actionScope(policy.actions.map((text) => valueOf(parseAction(text))))}, resource`;
  const when = conditions.length === 0 ? "" : `\nwhen { ${conditions.join(" && ")} }`;
  return `@id(${quote(policy.id)})\n${effect} (${scope})${when};`;
}

function actionScope(actions: readonly ActionForm[]): string {
  const names = actions.flatMap((action) => (action.kind === "action" ? [`Action::${quote(action.name)}`] : []));
  return names.length < actions.length ? "action" : `action in [${names.join(", ")}]`;
}

/** Undefined means that everything passes. */
function principalTest(form: PrincipalForm): string | undefined {
  return form.kind === "any" ? undefined : `principal in ${ENTITY_TYPES[form.kind]}::${quote(form.name)}`;
}

function resourceTest(form: ResourceForm): string | undefined {
  if (form.kind === "any") return undefined;
  if (form.kind === "group") return `resource in Group::${quote(form.group)}`;
  const tests = [globTest("resource.server", form.server), globTest("resource.tool", form.tool)];
  return tests.filter((test) => test !== undefined).join(" && ") || undefined;
}

/** Both ways it is the bare server that loses. */
function sandboxTest({ effect, requireSandbox }: ShortPolicy): string | undefined {
  if (!requireSandbox) return undefined;
  return effect === "allow" ? "resource.sandboxed" : "!resource.sandboxed";
}

function globTest(attribute: string, glob: string): string | undefined {
  if (/^\*+$/.test(glob)) return undefined;
  return glob.includes("*") ? `${attribute} like ${quote(glob)}` : `${attribute} == ${quote(glob)}`;
}

function anyOf(tests: readonly (string | undefined)[]): string | undefined {
  if (tests.includes(undefined)) return undefined;
  return `(${tests.map((test) => `(${test})`).join(" || ")})`;
}

/** A Cedar string: what is not plain ASCII becomes an escape. A star stays: in a `like` pattern it is the wildcard. */
function quote(text: string): string {
  const escaped = text.replace(/[^\x20-\x7e]|["\\]/gu, (character) => `\\u{${character.codePointAt(0)!.toString(16)}}`);
  return `"${escaped}"`;
}

function valueOf<T>(parsed: Parsed<T>): T {
  if (parsed.ok) return parsed.value;
  throw new Error(`a policy's part ${parsed.reason}`);
}
