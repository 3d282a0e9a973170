import {
  type AuthorizationAnswer,
  type EntityJson,
  preparsePolicySet,
  statefulIsAuthorized,
  validate,
} from "@cedar-policy/cedar-wasm/nodejs";
import { CEDAR_SCHEMA } from "./cedar-text.ts";
import type { ShortPolicy } from "./policy.ts";

/** Who asks, as policy itself knows them. */
export interface Subject {
  readonly kind: "token" | "user";
  /** The token's name; the user's subject at the issuer. */
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
  /** False where it is not known. */
  readonly sandboxed: boolean;
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
  /** Gives the parsed sets' memory back. Afterwards everything is denied. */
  dispose(): void;
}

const SETS_MAX = 256;
/** Ways to be named by policies that are remembered with their set. */
const SUBJECTS_MAX = 10_000;

// The library keeps parsed sets in a table of the thread that nothing can be removed from, so names are used again.
const freeNames: string[] = [];
let namesMade = 0;

/**
 * Evaluation takes time in proportion to a set's size, so a subject is judged by the policies that name it, its roles,
 * team or tenant, or everybody; the others could not match. Such a set is parsed when first needed, once for all
 * subjects that share it.
 * @param checked Cedar texts that an earlier engine has taken: the check is what takes long, a millisecond for each
 * @throws {Error} when a policy does not parse or does not fit the schema
 */
export function createCedarEngine(
  policies: readonly EnginePolicy[],
  checked: ReadonlySet<string> = new Set(),
): CedarEngine {
  checkPolicies(policies.filter(({ cedar }) => !checked.has(cedar)));
  const named = policies.map((policy) => ({ ...policy, principals: new Set(policy.principals) }));
  const mentioned = new Set(policies.flatMap(({ principals }) => principals));
  const setBySubject = new Map<string, string>();
  const setByContent = new Map<string, string>();
  let disposed = false;

  function setFor(subject: Subject): string {
    // There may be any number of users; names that no policy mentions make no difference. Those of policies hold no space.
    const names = namesOf(subject).filter((name) => mentioned.has(name));
    const key = names.join(" ");
    const known = setBySubject.get(key);
    if (known !== undefined) return known;
    const applicable = named.filter(({ principals }) => names.some((name) => principals.has(name)));
    const content = applicable.map(({ id }) => id).join(" ");
    let set = setByContent.get(content);
    if (set === undefined) {
      if (setByContent.size >= SETS_MAX) release();
      set = parseSet(applicable);
      setByContent.set(content, set);
    }
    if (setBySubject.size >= SUBJECTS_MAX) setBySubject.clear();
    setBySubject.set(key, set);
    return set;
  }

  function release(): void {
    for (const set of setByContent.values()) {
      preparsePolicySet(set, {});
      freeNames.push(set);
    }
    setByContent.clear();
    setBySubject.clear();
  }

  return {
    decide(subject, action, target) {
      if (disposed) return { allow: false, policyIds: [], failure: "this set of policies is no longer in use" };
      try {
        return toVerdict(ask(setFor(subject), subject, action, target));
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

/** Every way in which a policy in the short form can name the subject. */
function namesOf({ kind, id, tenant, team, roles }: Subject): string[] {
  return ["*", `${kind}:${id}`, `tenant:${tenant}`, `team:${team}`, ...roles.map((role) => `role:${role}`)];
}

function checkPolicies(policies: readonly Pick<EnginePolicy, "id" | "cedar">[]): void {
  if (policies.length === 0) return;
  const staticPolicies = Object.fromEntries(policies.map(({ id, cedar }) => [id, cedar]));
  const answer = validate({ schema: CEDAR_SCHEMA, policies: { staticPolicies } });
  if (answer.type === "failure") throw new Error(`policies do not parse: ${answer.errors[0]?.message}`);
  const wrong = answer.validationErrors[0];
  if (wrong) throw new Error(`policy ${wrong.policyId} does not fit: ${wrong.error.message}`);
}

function parseSet(policies: readonly Pick<EnginePolicy, "id" | "cedar">[]): string {
  const name = freeNames.pop() ?? `set-${(namesMade += 1)}`;
  const staticPolicies = Object.fromEntries(policies.map(({ id, cedar }) => [id, cedar]));
  const answer = preparsePolicySet(name, { staticPolicies });
  if (answer.type === "success") return name;
  freeNames.push(name);
  throw new Error(`policies do not parse: ${answer.errors[0]?.message}`);
}

function ask(preparsedPolicySetId: string, subject: Subject, action: string, target: Target): AuthorizationAnswer {
  const principal: EntityJson = {
    uid: { type: subject.kind === "user" ? "User" : "Token", id: subject.id },
    attrs: {},
    parents: [
      { type: "Tenant", id: subject.tenant },
      { type: "Team", id: subject.team },
      ...subject.roles.map((id) => ({ type: "Role", id })),
    ],
  };
  const { group, server, tool, sandboxed } = target;
  const attrs = { server, tool, sandboxed };
  const inGroup = { type: "Group", id: group };
  const resource: EntityJson =
    tool === ""
      ? { uid: { type: "Server", id: server }, attrs, parents: [inGroup] }
      : {
          uid: { type: "Tool", id: `${server}/${tool}` },
          attrs,
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
