import { stateV1 } from "@tollgate/contracts";
import { type DesiredLimit, loadDesiredState, type Section } from "@tollgate/desired-state";
import { AppError } from "@tollgate/errors";
import { unary, withTransaction } from "@tollgate/service";
import type { ClientBase } from "pg";
import { driftOf, type EntryDrift, planDocument, sourceOf } from "../domain/file-entries.ts";
import type { LimitRecord } from "../domain/limits.ts";
import { type PolicyRecord, samePolicy, toFileForm, type WrittenPolicy } from "../domain/policy.ts";
import type { Changed } from "../domain/state.ts";
import { type EntryKind, readFileEntries } from "../store/file-entries.ts";
import { deleteLimit, putLimit, readLimits } from "../store/limits.ts";
import { deletePolicy, putPolicy, readPolicies } from "../store/policies.ts";
import { checkActor, type Dependencies } from "./dependencies.ts";
import { toPolicies } from "./desired-file.ts";
import { isSameLimit, LIMITS_MAX, toDeclaredLimit, withId } from "./limit-changes.ts";
import { POLICIES_MAX } from "./policies.ts";

const SECTIONS: readonly Section[] = ["policies", "limits"];
/** The installation's own variables are no business of whoever sends a document. */
const OWN_VARIABLE = /^TOLLGATE_/;

type Variables = Readonly<Record<string, string | undefined>>;
type Limit = LimitRecord & { readonly id: string };

/** StateService of proto/tollgate/state/v1, for `policies` and `limits`. */
export function createStateService(
  dependencies: Dependencies,
  env: Variables,
): { definition: stateV1.StateServiceService; implementation: stateV1.StateServiceServer } {
  const { log } = dependencies;
  return {
    definition: stateV1.StateServiceService,
    implementation: {
      reconcile: unary(log, (request) => reconcile(dependencies, env, request)),
      getDrift: unary(log, () => readDrift(dependencies)),
    },
  };
}

/** What a document would change of policies and limits: some to put, some to remove. */
interface Plan {
  readonly policies: ReturnType<typeof planDocument<PolicyRecord, WrittenPolicy>>;
  readonly limits: ReturnType<typeof planDocument<Limit, DesiredLimit & { readonly id: string }>>;
}

/** @throws {AppError} invalid_argument with the mistakes; failed_precondition where nobody could administer any more */
async function reconcile(
  { authority, metrics, log }: Dependencies,
  env: Variables,
  request: stateV1.ReconcileRequest,
): Promise<stateV1.ReconcileResponse> {
  const { document, name: file, dryRun, prune } = request;
  const actor = checkActor(request.actor);
  const variables = Object.fromEntries(Object.entries(env).filter(([name]) => !OWN_VARIABLE.test(name)));
  const desired = loadDesiredState(document, { file, env: variables, sections: SECTIONS });
  const given = new Set(Object.keys(desired.sections));
  const wanted = { policies: toPolicies(desired), limits: desired.limits.map(withId) };
  // Read in the transaction: another replica may have changed something that is not heard of here yet.
  const plan = async (client: ClientBase): Promise<Plan> => ({
    policies: planDocument({
      stored: await readPolicies(client),
      wanted: wanted.policies,
      isSame: samePolicy,
      prune: prune && given.has("policies"),
      countMax: POLICIES_MAX,
    }),
    limits: planDocument({
      stored: (await readLimits(client)).map(withId),
      wanted: wanted.limits,
      isSame: isSameLimit,
      prune: prune && given.has("limits"),
      countMax: LIMITS_MAX,
    }),
  });
  let changes: stateV1.Change[] = [];
  const work = async (client: ClientBase): Promise<Changed[]> => {
    const planned = await plan(client);
    for (const [what, { tooMany }] of Object.entries(planned))
      if (tooMany !== undefined)
        throw new AppError("failed_precondition", `there would be ${tooMany} ${what}, which is too many: remove some`);
    changes = changesOf(planned);
    return carryOut(client, planned, actor);
  };
  if (dryRun) {
    await authority.rehearse(actor, work);
    return { changes, warnings: [], revision: BigInt(authority.current().revision) };
  }
  const state = await authority.change(actor, work);
  if (changes.length > 0) metrics.changes.inc({ kind: "document" });
  log.info({ actor, changes: changes.length, revision: state.revision }, "document applied");
  return { changes, warnings: [], revision: BigInt(state.revision) };
}

async function carryOut(client: ClientBase, { policies, limits }: Plan, actor: string): Promise<Changed[]> {
  const [saidPolicies, saidLimits] = [await readFileEntries(client, "policy"), await readFileEntries(client, "limit")];
  for (const { wanted } of policies.put)
    await putPolicy(client, wanted, { source: sourceOf(saidPolicies, wanted), actor });
  for (const record of policies.remove) await deletePolicy(client, record, actor);
  for (const { wanted } of limits.put) {
    const { id: _id, ...limit } = wanted;
    await putLimit(client, limit, { source: sourceOf(saidLimits, wanted), actor });
  }
  for (const { id } of limits.remove) await deleteLimit(client, id);
  const ids = [...policies.put.map(({ wanted }) => wanted), ...policies.remove].map(({ id }) => id);
  const isLimited = limits.put.length > 0 || limits.remove.length > 0;
  return [...(ids.length > 0 ? [{ policies: ids }] : []), ...(isLimited ? (["limits"] as const) : [])];
}

function changesOf({ policies, limits }: Plan): stateV1.Change[] {
  return [
    ...describe("policy", policies, toFileForm),
    ...describe("limit", limits, (limit) => ({ name: limit.name, ...toDeclaredLimit(limit) })),
  ];
}

const NOTES: Readonly<Record<EntryKind, string>> = {
  policy: "holds on every gateway when this returns",
  limit: "holds on every gateway when this returns",
};

function describe<R extends { readonly id: string }, W extends { readonly id: string }>(
  kind: EntryKind,
  { put, remove }: { put: readonly { wanted: W; before: R | undefined }[]; remove: readonly R[] },
  show: (entry: R | W) => Record<string, unknown>,
): stateV1.Change[] {
  const note = NOTES[kind];
  const text = (entry: R | W) => JSON.stringify(show(entry));
  return [
    ...put.map(({ wanted, before }) => ({
      kind,
      id: wanted.id,
      change: before === undefined ? "create" : "update",
      before: before === undefined ? "" : text(before),
      after: text(wanted),
      note,
    })),
    ...remove.map((record) => ({ kind, id: record.id, change: "delete", before: text(record), after: "", note })),
  ];
}

async function readDrift({ pool, authority }: Dependencies): Promise<stateV1.GetDriftResponse> {
  return withTransaction(pool, async (client) => {
    const { policies, limits } = authority.current();
    const ofPolicies = driftOf(await readFileEntries(client, "policy"), policies as readonly PolicyRecord[]);
    const ofLimits = driftOf(await readFileEntries(client, "limit"), limits.records.map(withId));
    return {
      items: [
        ...ofPolicies.map((each) => toDrift("policy", each, (entry) => toFileForm(entry as WrittenPolicy))),
        ...ofLimits.map((each) =>
          toDrift("limit", each, (entry) => {
            const { id, ...limit } = entry as Limit;
            return { name: id, ...toDeclaredLimit(limit) };
          }),
        ),
      ],
    };
  });
}

function toDrift<R extends { readonly updatedBy: string; readonly updatedAtMs: number }>(
  kind: EntryKind,
  { id, drift, said, record }: EntryDrift<R>,
  show: (entry: unknown) => Record<string, unknown>,
): stateV1.Drift {
  return {
    kind,
    id,
    drift,
    fileEntry: said === undefined ? "" : JSON.stringify(show(said)),
    entry: record === undefined ? "" : JSON.stringify(show(record)),
    updatedBy: record?.updatedBy ?? "",
    updatedAtMs: BigInt(record?.updatedAtMs ?? 0),
    problem: "",
  };
}
