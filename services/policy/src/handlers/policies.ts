import type { policyV1 } from "@tollgate/contracts";
import { AppError } from "@tollgate/errors";
import { unary, withTransaction } from "@tollgate/service";
import { parseJson } from "@tollgate/mcp";
import type { ClientBase } from "pg";
import { compile, type CompiledPolicy } from "../domain/compiled-policy.ts";
import {
  concernsTenant,
  describeMistakes,
  parsePolicy,
  type PolicyRecord,
  samePolicy,
  type WrittenPolicy,
} from "../domain/policy.ts";
import { sourceOf } from "../domain/file-entries.ts";
import type { PolicyState } from "../domain/state.ts";
import { readFileEntries } from "../store/file-entries.ts";
import { deletePolicy, findPolicy, putPolicy } from "../store/policies.ts";
import { findVersion, readVersions } from "../store/policy-versions.ts";
import { checkActor, type Dependencies, type Methods } from "./dependencies.ts";

export const POLICIES_MAX = 2_000;

/** What the rules are, and how they are changed. */
export function policyMethods(
  dependencies: Dependencies,
): Methods<"listPolicies" | "putPolicy" | "deletePolicy" | "listPolicyVersions" | "rollbackPolicy"> {
  const { authority, log } = dependencies;
  return {
    listPolicies: unary(log, (request) => listPolicies(authority.current(), request)),
    putPolicy: unary(log, (request) => put(dependencies, request)),
    deletePolicy: unary(log, (request) => remove(dependencies, request)),
    listPolicyVersions: unary(log, (request) => listVersions(dependencies, request)),
    rollbackPolicy: unary(log, (request) => rollBack(dependencies, request)),
  };
}

function listPolicies(state: PolicyState, { tenant }: policyV1.ListPoliciesRequest): policyV1.ListPoliciesResponse {
  const tenantOfToken = (name: string): string | undefined => state.tokens.byName.get(name)?.tenant;
  const visible = state.policies.filter((policy) => tenant === "" || concernsTenant(policy, tenant, tenantOfToken));
  return { policies: visible.map(toPolicy), revision: BigInt(state.revision) };
}

async function put(
  dependencies: Dependencies,
  request: policyV1.PutPolicyRequest,
): Promise<policyV1.PutPolicyResponse> {
  if (request.policy === undefined) throw new AppError("invalid_argument", "policy: is missing");
  const policy = parse(request.policy);
  const replaced = Number(request.policy.version);
  return replace(dependencies, { id: policy.id, change: "put_policy", actor: request.actor }, (_client, before) => {
    const present = before?.version ?? 0;
    if (replaced === 0 || replaced === present) return policy;
    const reason = `policy "${policy.id}" is of version ${present}, not ${replaced}: somebody has changed it`;
    throw new AppError("failed_precondition", reason, { details: { version: present } });
  });
}

async function listVersions(
  { authority, pool }: Dependencies,
  { id }: policyV1.ListPolicyVersionsRequest,
): Promise<policyV1.ListPolicyVersionsResponse> {
  const versions = await withTransaction(pool, (client) => readVersions(client, id));
  if (versions.length === 0 && !authority.current().policies.some((policy) => policy.id === id)) throw unknown(id);
  return { versions: versions.map(({ policy, change }) => ({ policy: toPolicy(compiled(policy)), change })) };
}

/** What was taken in under an older grammar is shown all the same. */
function compiled(record: PolicyRecord): Shown {
  try {
    return { ...record, cedar: compile(record).cedar };
  } catch {
    return { ...record, cedar: record.cedarText };
  }
}

async function rollBack(
  dependencies: Dependencies,
  { id, version, actor }: policyV1.RollbackPolicyRequest,
): Promise<policyV1.RollbackPolicyResponse> {
  return replace(dependencies, { id, change: "roll_back_policy", actor }, async (client) => {
    const found = await findVersion(client, id, Number(version));
    if (found === undefined) throw new AppError("not_found", `there is no version ${version} of policy "${id}"`);
    // What a removal is kept with is what was removed: to bring that back is what a version before it is for.
    if (found.change === "delete")
      throw new AppError(
        "failed_precondition",
        `version ${version} of policy "${id}" is its removal: delete the policy`,
      );
    return parse(toPolicy(compiled(found.policy)));
  });
}

/** One policy changes, in its turn: `next` says to what, and may ask the database. */
async function replace(
  { authority, metrics, log }: Dependencies,
  { id, change, actor: given }: { readonly id: string; readonly change: string; readonly actor: string },
  next: (client: ClientBase, before: PolicyRecord | undefined) => WrittenPolicy | Promise<WrittenPolicy>,
): Promise<policyV1.PutPolicyResponse> {
  const actor = checkActor(given);
  const state = await authority.change(actor, async (client) => {
    const before = await findPolicy(client, id);
    const policy = await next(client, before);
    if (before === undefined && authority.current().policies.length >= POLICIES_MAX) {
      throw new AppError("failed_precondition", `there are ${POLICIES_MAX} policies already; delete one first`);
    }
    if (before !== undefined && samePolicy(before, policy)) return [];
    const source = sourceOf(await readFileEntries(client, "policy"), policy);
    await putPolicy(client, policy, { source, actor });
    return [{ policies: [id] }];
  });
  metrics.changes.inc({ kind: change });
  log.info({ policy: id, change, actor, revision: state.revision }, "policy changed");
  const stored = state.policies.find((policy) => policy.id === id);
  return { policy: stored && toPolicy(stored), revision: BigInt(state.revision) };
}

async function remove(
  { authority, metrics, log }: Dependencies,
  request: policyV1.DeletePolicyRequest,
): Promise<policyV1.DeletePolicyResponse> {
  const { id } = request;
  const actor = checkActor(request.actor);
  const state = await authority.change(actor, async (client) => {
    const policy = await findPolicy(client, id);
    if (policy === undefined) throw unknown(id);
    await deletePolicy(client, policy, actor);
    return [{ policies: [id] }];
  });
  metrics.changes.inc({ kind: "delete_policy" });
  log.info({ policy: id, actor, revision: state.revision }, "policy deleted");
  return { revision: BigInt(state.revision) };
}

/** @param place of the policy in what was given */
export function parse(policy: policyV1.Policy, place = ""): WrittenPolicy {
  const parsed = parsePolicy(fromPolicy(policy));
  if (parsed.ok) return parsed.value;
  const errors = parsed.mistakes.map(({ path, message }) => ({ path: `${place}${path}`, message }));
  throw new AppError("invalid_argument", describeMistakes(errors), { details: { errors } });
}

/** As an entry of the file would have it. What is written in Cedar has no other parts; what it was given, it keeps. */
function fromPolicy(policy: policyV1.Policy) {
  const { id, description, tenant, effect, principals, actions, resources, record, cedar, isCedar } = policy;
  const lists = { principals, actions, resources };
  const written = Object.entries(lists).filter(([, list]) => !isCedar || list.length > 0);
  return {
    id,
    description,
    ...(tenant === "" ? {} : { tenant }),
    ...(isCedar && effect === "" ? {} : { effect }),
    ...Object.fromEntries(written),
    ...(policy.conditions === "" ? {} : { conditions: parseWritten(policy.conditions) }),
    ...(record.length === 0 ? {} : { record }),
    ...(isCedar ? { cedar } : {}),
  };
}

/** What is no JSON is told as any other mistake: it is no object. */
function parseWritten(text: string): unknown {
  try {
    return parseJson(text);
  } catch {
    return text;
  }
}

function unknown(id: string): AppError {
  return new AppError("not_found", `there is no policy ${JSON.stringify(id)}`);
}

type Shown = PolicyRecord & Pick<CompiledPolicy, "cedar">;

function toPolicy(policy: Shown): policyV1.Policy {
  const isCedar = policy.cedarText !== "";
  const conditions = JSON.stringify(policy.conditions);
  return {
    id: policy.id,
    effect: isCedar ? "" : policy.effect,
    principals: [...policy.principals],
    actions: [...policy.actions],
    resources: [...policy.resources],
    source: policy.source,
    version: BigInt(policy.version),
    updatedAtMs: BigInt(policy.updatedAtMs),
    updatedBy: policy.updatedBy,
    cedar: policy.cedar,
    tenant: policy.tenant,
    conditions: conditions === "{}" ? "" : conditions,
    isCedar,
    description: policy.description,
    record: [...policy.record],
  };
}
