import type { policyV1 } from "@tollgate/contracts";
import { AppError } from "@tollgate/errors";
import { unary } from "@tollgate/service";
import { concernsTenant, parsePolicy, samePolicy } from "../domain/policy.ts";
import type { CompiledPolicy, PolicyState } from "../domain/state.ts";
import { deletePolicy, findPolicy, putPolicy } from "../store/policies.ts";
import { checkActor, type Dependencies, type Methods, notYet } from "./dependencies.ts";

const POLICIES_MAX = 2_000;

/** What the rules are, and how they are changed. */
export function policyMethods(
  dependencies: Dependencies,
): Methods<
  "listPolicies" | "putPolicy" | "deletePolicy" | "listPolicyVersions" | "rollbackPolicy" | "testPolicies" | "whatIf"
> {
  const { authority, log } = dependencies;
  return {
    listPolicies: unary(log, (request) => listPolicies(authority.current(), request)),
    putPolicy: unary(log, (request) => put(dependencies, request)),
    deletePolicy: unary(log, (request) => remove(dependencies, request)),
    listPolicyVersions: unary(log, notYet),
    rollbackPolicy: unary(log, notYet),
    testPolicies: unary(log, notYet),
    whatIf: unary(log, notYet),
  };
}

function listPolicies(state: PolicyState, { tenant }: policyV1.ListPoliciesRequest): policyV1.ListPoliciesResponse {
  const tenantOfToken = (name: string): string | undefined => state.tokens.byName.get(name)?.tenant;
  const visible = state.policies.filter((policy) => tenant === "" || concernsTenant(policy, tenant, tenantOfToken));
  return { policies: visible.map(toPolicy), revision: BigInt(state.revision) };
}

async function put(
  { authority, metrics, log }: Dependencies,
  request: policyV1.PutPolicyRequest,
): Promise<policyV1.PutPolicyResponse> {
  if (request.policy === undefined) throw new AppError("invalid_argument", "policy: is missing");
  const actor = checkActor(request.actor);
  const parsed = parsePolicy({ ...request.policy, requireSandbox: toRequireSandbox(request.policy.conditions) });
  if (!parsed.ok) throw new AppError("invalid_argument", parsed.reason);
  const policy = parsed.value;
  const state = await authority.change(async (client) => {
    const before = await findPolicy(client, policy.id);
    if (before?.source === "file") throw fileOwned(policy.id);
    if (before === undefined && authority.current().policies.length >= POLICIES_MAX) {
      throw new AppError("failed_precondition", `there are ${POLICIES_MAX} policies already; delete one first`);
    }
    if (before !== undefined && samePolicy(before, policy)) return [];
    await putPolicy(client, policy, { source: "api", actor });
    return ["policies"];
  });
  metrics.changes.inc({ kind: "put_policy" });
  log.info({ policy: policy.id, actor, revision: state.revision }, "policy put");
  const stored = state.policies.find(({ id }) => id === policy.id);
  return { policy: stored && toPolicy(stored), revision: BigInt(state.revision) };
}

async function remove(
  { authority, metrics, log }: Dependencies,
  request: policyV1.DeletePolicyRequest,
): Promise<policyV1.DeletePolicyResponse> {
  const { id } = request;
  const actor = checkActor(request.actor);
  const state = await authority.change(async (client) => {
    const policy = await findPolicy(client, id);
    if (policy === undefined) throw new AppError("not_found", `there is no policy ${JSON.stringify(id)}`);
    if (policy.source === "file") throw fileOwned(id);
    await deletePolicy(client, policy, actor);
    return ["policies"];
  });
  metrics.changes.inc({ kind: "delete_policy" });
  log.info({ policy: id, actor, revision: state.revision }, "policy deleted");
  return { revision: BigInt(state.revision) };
}

function toRequireSandbox(conditions: string): boolean {
  const given = conditions === "" ? {} : (JSON.parse(conditions) as Record<string, unknown>);
  const { require_sandbox: value = false, ...others } = given;
  if (typeof value === "boolean" && Object.keys(others).length === 0) return value;
  throw new AppError("invalid_argument", "conditions: only require_sandbox is known");
}

function fileOwned(id: string): AppError {
  return new AppError("failed_precondition", `policy "${id}" comes from the configuration file: change it there`);
}

function toPolicy(policy: CompiledPolicy): policyV1.Policy {
  return {
    id: policy.id,
    effect: policy.effect,
    principals: [...policy.principals],
    actions: [...policy.actions],
    resources: [...policy.resources],
    source: policy.source,
    version: BigInt(policy.version),
    updatedAtMs: BigInt(policy.updatedAtMs),
    updatedBy: policy.updatedBy,
    cedar: policy.cedar,
    tenant: "",
    conditions: policy.requireSandbox ? '{"require_sandbox":true}' : "",
    isCedar: false,
    description: "",
  };
}
