import {
  type AuthorizationAnswer,
  type EntityJson,
  preparsePolicySet,
  statefulIsAuthorized,
  validate,
} from "@cedar-policy/cedar-wasm/nodejs";
import { parsePrincipal } from "@tollgate/desired-state";
import { CEDAR_SCHEMA } from "./cedar-text.ts";
import type { ShortPolicy } from "./policy.ts";

/** Who asks, as policy itself knows them. */
export interface Subject {
  readonly id: string;
  readonly tenant: string;
  readonly team: string;
  readonly roles: readonly string[];
}

export interface Target {
  readonly group: string;
  readonly server: string;
  /** Empty for the server as a whole. */
  readonly tool: string;
}

export interface Verdict {
  readonly allow: boolean;
  /** The policies that decided, sorted. */
  readonly policyIds: readonly string[];
  /** Why nothing could be decided; `allow` is false then. */
  readonly failure?: string;
}

export interface EnginePolicy extends Pick<ShortPolicy, "id" | "principals"> {
  readonly cedar: string;
}

/** One unchanging set of policies. */
export interface CedarEngine {
  decide(subject: Subject, action: string, target: Target): Verdict;
  /** Whether the policy can concern anybody of the tenant. */
  concerns(policy: Pick<ShortPolicy, "principals">, tenant: string): boolean;
  /** Gives the parsed sets' memory back. Afterwards everything is denied. */
  dispose(): void;
}

const SETS_MAX = 256;

// The library keeps parsed sets in a table of the thread that nothing can be removed from, so names are used again.
const freeNames: string[] = [];
let namesMade = 0;

/**
 * Policies are parsed once, into one set for each tenant: evaluation takes time in proportion to a set's size, and most
 * policies of a large installation name a tenant or a tenant's token. Tenants with the same policies share a set.
 * @throws {Error} when a policy does not parse or does not fit the schema
 */
export function createCedarEngine(
  policies: readonly EnginePolicy[],
  tenantOfToken: (name: string) => string | undefined,
): CedarEngine {
  checkPolicies(policies);
  const setByTenant = new Map<string, string>();
  const setByContent = new Map<string, string>();
  let disposed = false;

  function concerns(policy: Pick<ShortPolicy, "principals">, tenant: string): boolean {
    return policy.principals.some((text) => {
      const parsed = parsePrincipal(text);
      if (!parsed.ok) return true;
      if (parsed.value.kind === "tenant") return parsed.value.name === tenant;
      if (parsed.value.kind === "token") return tenantOfToken(parsed.value.name) === tenant;
      return true;
    });
  }

  function setFor(tenant: string): string {
    const known = setByTenant.get(tenant);
    if (known !== undefined) return known;
    const shard = policies.filter((policy) => concerns(policy, tenant));
    const content = shard.map(({ id }) => id).join(" ");
    let name = setByContent.get(content);
    if (name === undefined) {
      if (setByContent.size >= SETS_MAX) release();
      name = parseSet(shard);
      setByContent.set(content, name);
    }
    setByTenant.set(tenant, name);
    return name;
  }

  function release(): void {
    for (const name of setByContent.values()) {
      preparsePolicySet(name, {});
      freeNames.push(name);
    }
    setByContent.clear();
    setByTenant.clear();
  }

  return {
    concerns,
    decide(subject, action, target) {
      if (disposed) return { allow: false, policyIds: [], failure: "this set of policies is no longer in use" };
      try {
        return toVerdict(ask(setFor(subject.tenant), subject, action, target));
      } catch (error) {
        return { allow: false, policyIds: [], failure: (error as Error).message };
      }
    },
    dispose() {
      disposed = true;
      release();
    },
  };
}

function checkPolicies(policies: readonly EnginePolicy[]): void {
  const staticPolicies = Object.fromEntries(policies.map(({ id, cedar }) => [id, cedar]));
  const answer = validate({ schema: CEDAR_SCHEMA, policies: { staticPolicies } });
  if (answer.type === "failure") throw new Error(`policies do not parse: ${answer.errors[0]?.message}`);
  const wrong = answer.validationErrors[0];
  if (wrong) throw new Error(`policy ${wrong.policyId} does not fit: ${wrong.error.message}`);
}

function parseSet(policies: readonly EnginePolicy[]): string {
  const name = freeNames.pop() ?? `set-${(namesMade += 1)}`;
  const staticPolicies = Object.fromEntries(policies.map(({ id, cedar }) => [id, cedar]));
  const answer = preparsePolicySet(name, { staticPolicies });
  if (answer.type === "success") return name;
  freeNames.push(name);
  throw new Error(`policies do not parse: ${answer.errors[0]?.message}`);
}

function ask(preparsedPolicySetId: string, subject: Subject, action: string, target: Target): AuthorizationAnswer {
  const principal: EntityJson = {
    uid: { type: "Token", id: subject.id },
    attrs: {},
    parents: [
      { type: "Tenant", id: subject.tenant },
      { type: "Team", id: subject.team },
      ...subject.roles.map((id) => ({ type: "Role", id })),
    ],
  };
  const { group, server, tool } = target;
  const inGroup = { type: "Group", id: group };
  const resource: EntityJson =
    tool === ""
      ? { uid: { type: "Server", id: server }, attrs: { server, tool }, parents: [inGroup] }
      : {
          uid: { type: "Tool", id: `${server}/${tool}` },
          attrs: { server, tool },
          parents: [{ type: "Server", id: server }, inGroup],
        };
  return statefulIsAuthorized({
    principal: principal.uid,
    action: { type: "Action", id: action },
    resource: resource.uid,
    context: {},
    preparsedPolicySetId,
    entities: [principal, resource],
  });
}

/** Cedar leaves out a policy that fails to evaluate, a forbidding one too. Here any failure refuses. */
function toVerdict(answer: AuthorizationAnswer): Verdict {
  if (answer.type === "failure")
    return { allow: false, policyIds: [], failure: answer.errors[0]?.message ?? "unknown failure" };
  const { decision, diagnostics } = answer.response;
  const error = diagnostics.errors[0];
  if (error)
    return { allow: false, policyIds: [error.policyId], failure: `policy ${error.policyId}: ${error.error.message}` };
  return { allow: decision === "allow", policyIds: diagnostics.reason.toSorted() };
}
