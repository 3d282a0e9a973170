import {
  type ActionForm,
  parseAction,
  parsePrincipal,
  parseResource,
  type PrincipalForm,
  type ResourceForm,
} from "@tollgate/desired-state";
import type { Parsed } from "@tollgate/contracts";
import { conditionTests } from "./cedar-conditions.ts";
import { quote } from "./cedar-schema.ts";
import type { WrittenPolicy } from "./policy.ts";

const ENTITY_TYPES = {
  token: "Token",
  agent: "Agent",
  user: "User",
  role: "Role",
  team: "Team",
  tenant: "Tenant",
} as const;

/**
 * The Cedar text of a policy. Nothing in the short form's parts can leave the string that it is put into.
 * @throws {Error} when a part is not of the grammar; whoever took the policy in has checked that
 */
export function toCedarText(policy: WrittenPolicy): string {
  if (policy.cedarText !== "") return policy.cedarText;
  // Resources first: of those who are judged by it nearly all are among its principals.
  const conditions = [
    anyOf(policy.resources.map((text) => resourceTest(valueOf(parseResource(text))))),
    policy.tenant === "" ? undefined : `principal in Tenant::${quote(policy.tenant)}`,
    anyOf(policy.principals.map((text) => principalTest(valueOf(parsePrincipal(text))))),
    ...conditionTests(policy.effect, policy.conditions),
  ].filter((condition) => condition !== undefined);
  const effect = policy.effect === "allow" ? "permit" : "forbid";
  const scope = `principal, ${actionScope(policy.actions.map((text) => valueOf(parseAction(text))))}, resource`;
  const when = conditions.length === 0 ? "" : `\nwhen { ${conditions.join(" && ")} }`;
  return `@id(${quote(policy.id)})\n${effect} (${scope})${when};`;
}

function actionScope(actions: readonly ActionForm[]): string {
  const names = actions.map((action) => `Action::${quote(action.kind === "action" ? action.name : action.kind)}`);
  const [only, ...others] = new Set(names);
  if (others.length > 0) return `action in [${[only, ...others].join(", ")}]`;
  return `action ${actions[0]!.kind === "action" ? "==" : "in"} ${only}`;
}

/** Undefined means that everything passes. */
function principalTest(form: PrincipalForm): string | undefined {
  return form.kind === "any" ? undefined : `principal in ${ENTITY_TYPES[form.kind]}::${quote(form.name)}`;
}

function resourceTest(form: ResourceForm): string | undefined {
  if (form.kind === "any") return undefined;
  if (form.kind === "group") return `resource in Group::${quote(form.group)}`;
  const tests = [globTest("resource.server", form.server), globTest("resource.name", form.tool)];
  return tests.filter((test) => test !== undefined).join(" && ") || undefined;
}

function globTest(attribute: string, glob: string): string | undefined {
  if (/^\*+$/.test(glob)) return undefined;
  return glob.includes("*") ? `${attribute} like ${quote(glob)}` : `${attribute} == ${quote(glob)}`;
}

function anyOf(tests: readonly (string | undefined)[]): string | undefined {
  if (tests.includes(undefined)) return undefined;
  return `(${tests.map((test) => `(${test})`).join(" || ")})`;
}

function valueOf<T>(parsed: Parsed<T>): T {
  if (parsed.ok) return parsed.value;
  throw new Error(`a policy's part ${parsed.reason}`);
}
