import type { limitsV1 } from "@tollgate/contracts";
import { type DesiredLimit, limitSchema } from "@tollgate/desired-state";
import { AppError } from "@tollgate/errors";
import { unary } from "@tollgate/service";
import { parseJson } from "@tollgate/mcp";
import type { ClientBase } from "pg";
import { isDeepStrictEqual } from "node:util";
import { DEFAULT_RISK_LIMIT, type LimitRecord } from "../domain/limits.ts";
import { planFile, sourceOf } from "../domain/file-entries.ts";
import { readFileEntries, writeFileEntries } from "../store/file-entries.ts";
import { deleteLimit, putLimit, readLimits } from "../store/limits.ts";
import { changes } from "./authority.ts";
import { checkActor, type Dependencies, type Methods } from "./dependencies.ts";

/** Each is looked at for every decision. */
export const LIMITS_MAX = 400;

/** What the limits are, and how they are changed. */
export function limitChangeMethods(dependencies: Dependencies): Methods<"listLimits" | "putLimit" | "deleteLimit"> {
  const { authority, log } = dependencies;
  return {
    listLimits: unary(log, () => {
      const { limits, revision } = authority.current();
      return { limits: limits.records.map(toLimit), revision: BigInt(revision) };
    }),
    putLimit: unary(log, (request) => putOne(dependencies, request)),
    deleteLimit: unary(log, (request) => removeOne(dependencies, request)),
  };
}

async function putOne(
  { authority, metrics, log }: Dependencies,
  { limit, actor: given }: limitsV1.PutLimitRequest,
): Promise<limitsV1.PutLimitResponse> {
  const actor = checkActor(given);
  if (limit === undefined) throw new AppError("invalid_argument", "limit: is missing");
  const parsed = parse(limit);
  const state = await authority.change(actor, async (client) => {
    const before = await readLimits(client);
    const same = before.find(({ name }) => name === parsed.name);
    if (same === undefined && before.length >= LIMITS_MAX)
      throw new AppError("failed_precondition", `there are ${LIMITS_MAX} limits already`);
    if (same !== undefined && isSameLimit(same, parsed)) return [];
    const source = sourceOf(await readFileEntries(client, "limit"), withId(parsed));
    await putLimit(client, parsed, { source, actor });
    return ["limits"];
  });
  metrics.changes.inc({ kind: "put_limit" });
  log.info({ limit: parsed.name, actor, revision: state.revision }, "limit changed");
  const record = state.limits.records.find(({ name }) => name === parsed.name);
  return { limit: record && toLimit(record), revision: BigInt(state.revision) };
}

async function removeOne(
  { authority, metrics, log }: Dependencies,
  { id, actor: given }: limitsV1.DeleteLimitRequest,
): Promise<limitsV1.DeleteLimitResponse> {
  const actor = checkActor(given);
  const state = await authority.change(actor, async (client) => {
    const found = (await readLimits(client)).find(({ name }) => name === id);
    if (found === undefined) throw new AppError("not_found", `there is no limit ${JSON.stringify(id)}`);
    await deleteLimit(client, id);
    return ["limits"];
  });
  metrics.changes.inc({ kind: "delete_limit" });
  log.info({ limit: id, actor, revision: state.revision }, "limit removed");
  return { revision: BigInt(state.revision) };
}

/** @throws {AppError} invalid_argument with the places of the mistakes; never with a value */
function parse({ id, definition }: limitsV1.Limit): DesiredLimit {
  const written = parseWritten(definition);
  const isObject = typeof written === "object" && written !== null && !Array.isArray(written);
  const parsed = limitSchema.safeParse(isObject ? { ...written, name: id } : written);
  if (parsed.success && id === DEFAULT_RISK_LIMIT.name)
    throw new AppError("invalid_argument", "id: is that of the limit that holds where no other does");
  if (parsed.success) return parsed.data;
  const errors = parsed.error.issues.map(({ path, message }) => ({
    path: path.map(String).join("."),
    message,
  }));
  const joined = errors.map(({ path, message }) => `${path === "" ? "limit" : path}: ${message}`).join("; ");
  throw new AppError("invalid_argument", joined, { details: { errors } });
}

function parseWritten(text: string): unknown {
  try {
    return parseJson(text);
  } catch {
    return undefined;
  }
}

function toWritten({ source: _source, updatedAtMs: _at, updatedBy: _by, ...limit }: LimitRecord): DesiredLimit {
  return limit;
}

export function isSameLimit(record: LimitRecord, limit: DesiredLimit): boolean {
  // Keys without a value are not stored.
  return isDeepStrictEqual(toWritten(record), JSON.parse(JSON.stringify(limit)));
}

function toLimit(record: LimitRecord): limitsV1.Limit {
  const { name: id, source, updatedAtMs, updatedBy } = record;
  const definition = JSON.stringify(toDeclaredLimit(record));
  return { id, definition, source, updatedAtMs: BigInt(updatedAtMs), updatedBy };
}

/** As in tollgate.yaml, but for its name. */
export function toDeclaredLimit(limit: DesiredLimit): Record<string, unknown> {
  const { description, per, match, rate, concurrent, perDay, budget, timezone } = limit;
  return {
    description,
    per,
    match,
    requests_per_second: rate?.perSecond,
    burst: rate?.burst,
    concurrent,
    per_day: perDay,
    budget,
    timezone: perDay === undefined && budget === undefined ? undefined : timezone,
  };
}

/** What the file says anew of its limits holds from now on. */
export async function replaceLimits(
  client: ClientBase,
  wanted: readonly DesiredLimit[],
  actor: string,
): Promise<ReturnType<typeof changes>> {
  const said = await readFileEntries(client, "limit");
  const stored = (await readLimits(client)).map(withId);
  const plan = planFile({ said, stored, wanted: wanted.map(withId), isSame: isSameLimit });
  for (const { name } of plan.remove) await deleteLimit(client, name);
  for (const { id: _id, ...limit } of plan.put) await putLimit(client, limit, { source: "file", actor });
  await writeFileEntries(client, "limit", plan.entries);
  return changes("limits", plan.remove.length > 0 || plan.put.length > 0);
}

/** Limits are known by their names, as other entries by their ids. */
export function withId<L extends DesiredLimit>(limit: L): L & { readonly id: string } {
  return { ...limit, id: limit.name };
}
