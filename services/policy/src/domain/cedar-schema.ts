import { ACTIONS, ADMIN_ACTIONS } from "@tollgate/desired-state";

/** A Cedar string: what is not plain ASCII becomes an escape. A star stays: in a `like` pattern it is the wildcard. */
export function quote(text: string): string {
  const escaped = text.replace(/[^\x20-\x7e]|["\\]/gu, (character) => `\\u{${character.codePointAt(0)!.toString(16)}}`);
  return `"${escaped}"`;
}

/** What an action may be on, beside a server as a whole, whose `name` is empty. */
export const KINDS = { tools: "Tool", prompts: "Prompt", resources: "Resource" } as const;
export type Kind = keyof typeof KINDS;

/** `tools` of `tools/call`. */
export const kindOf = (action: string): Kind => action.slice(0, action.indexOf("/")) as Kind;

export const INSTALLATION = { type: "Installation", id: "tollgate" } as const;

const RESOURCE = "{ server: String, name: String, group: String, sandboxed: Bool, environment: String, risk: String }";
const CIRCUMSTANCES =
  "address?: ipaddr, windows: Set<String>, now: datetime, mfa: Bool, acr: String, amr: Set<String>, signedInAt?: datetime";

/**
 * The entities that policies speak of, in Cedar's schema language
 * (https://docs.cedarpolicy.com/schema/human-readable-schema.html). The README says what each attribute means.
 *
 * `arguments` are the call's, flattened: `{ "options": { "depth": 3 } }` is the number `options.depth`. `unclear` names
 * those that are lists, nothing, or numbers that no decimal can hold; `options.*` stands for all below such a one.
 * `any` is true where a question came without them: then it is asked whether some arguments may be allowed.
 */
export const CEDAR_SCHEMA = `
entity Tenant, Installation, Group;
entity Team, Role in [Tenant];
entity Token, Agent, User in [Team, Role, Tenant] { tenant: String, team: String, roles: Set<String> };
entity Server in [Group] ${RESOURCE};
entity ${Object.values(KINDS).join(", ")} in [Server, Group] ${RESOURCE};
entity Texts tags String;
entity Numbers tags decimal;
entity Flags tags Bool;
type Arguments = { texts: Texts, numbers: Numbers, flags: Flags, unclear: Set<String>, any: Bool };
action mcp, admin;
${Object.entries(KINDS)
  .map(([kind, entity]) => actionsOn(kind, entity))
  .join("\n")}
action ${ADMIN_ACTIONS.map(quote).join(", ")} in [admin] appliesTo {
  principal: [Token, Agent, User], resource: [Installation], context: { ${CIRCUMSTANCES} }
};
`;

function actionsOn(kind: string, entity: string): string {
  const actions = ACTIONS.filter((action) => kindOf(action) === kind).map(quote);
  return `action ${actions.join(", ")} in [mcp] appliesTo {
  principal: [Token, Agent, User], resource: [Server, ${entity}], context: { ${CIRCUMSTANCES}, arguments: Arguments }
};`;
}
