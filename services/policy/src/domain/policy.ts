import { NAME_PATTERN, type Parsed } from "@tollgate/contracts";
import { EFFECTS, parseAction, parsePrincipal, parseResource } from "@tollgate/desired-state";

export type Effect = (typeof EFFECTS)[number];
export type Source = "file" | "api";

/** A policy in the short form; packages/desired-state has the grammar of its parts. */
export interface ShortPolicy {
  readonly id: string;
  readonly effect: Effect;
  readonly principals: readonly string[];
  readonly actions: readonly string[];
  readonly resources: readonly string[];
  /** What it allows, it allows where the server is in a sandbox; what it denies, where it is in none. */
  readonly requireSandbox: boolean;
}

export interface PolicyRecord extends ShortPolicy {
  readonly source: Source;
  readonly version: number;
  /** Unix milliseconds. */
  readonly updatedAtMs: number;
  readonly updatedBy: string;
}

const LIST_MAX = 256;

/** Checks a policy that came through the API. The reason names the place of every mistake. */
export function parsePolicy(given: {
  readonly id: string;
  readonly effect: string;
  readonly principals: readonly string[];
  readonly actions: readonly string[];
  readonly resources: readonly string[];
  readonly requireSandbox: boolean;
}): Parsed<ShortPolicy> {
  const mistakes: string[] = [];
  if (!NAME_PATTERN.test(given.id)) mistakes.push("id: has to be 1 to 63 of a-z, 0-9 and inner -");
  const effect = EFFECTS.find((each) => each === given.effect);
  if (effect === undefined) mistakes.push(`effect: has to be ${EFFECTS.join(" or ")}`);
  mistakes.push(
    ...checkList("principals", given.principals, parsePrincipal),
    ...checkList("actions", given.actions, parseAction),
    ...checkList("resources", given.resources, parseResource),
  );
  if (effect === undefined || mistakes.length > 0) return { ok: false, reason: mistakes.join("; ") };
  const { id, principals, actions, resources, requireSandbox } = given;
  return { ok: true, value: { id, effect, principals, actions, resources, requireSandbox } };
}

function checkList(place: string, texts: readonly string[], parse: (text: string) => Parsed<unknown>): string[] {
  if (texts.length === 0) return [`${place}: is empty`];
  if (texts.length > LIST_MAX) return [`${place}: has more than ${LIST_MAX} entries`];
  return texts.flatMap((text, index) => {
    const parsed = parse(text);
    return parsed.ok ? [] : [`${place}[${index}]: ${parsed.reason}`];
  });
}

/** Whether the policy can concern anybody of the tenant. */
export function concernsTenant(
  policy: Pick<ShortPolicy, "principals">,
  tenant: string,
  tenantOfToken: (name: string) => string | undefined,
): boolean {
  return policy.principals.some((text) => {
    const parsed = parsePrincipal(text);
    if (!parsed.ok) return true;
    if (parsed.value.kind === "tenant") return parsed.value.name === tenant;
    return parsed.value.kind !== "token" || tenantOfToken(parsed.value.name) === tenant;
  });
}

export function samePolicy(one: ShortPolicy, other: ShortPolicy): boolean {
  return (
    one.effect === other.effect &&
    one.requireSandbox === other.requireSandbox &&
    sameTexts(one.principals, other.principals) &&
    sameTexts(one.actions, other.actions) &&
    sameTexts(one.resources, other.resources)
  );
}

/** What has to be done so that the policies of the file are those that are wanted; it takes over the API's of the same id. */
export function planPolicies(
  stored: readonly PolicyRecord[],
  wanted: readonly ShortPolicy[],
): { readonly remove: readonly PolicyRecord[]; readonly put: readonly ShortPolicy[] } {
  const wantedIds = new Set(wanted.map(({ id }) => id));
  const storedById = new Map(stored.map((record) => [record.id, record]));
  const put = wanted.filter((policy) => {
    const record = storedById.get(policy.id);
    return record === undefined || record.source !== "file" || !samePolicy(record, policy);
  });
  return { remove: stored.filter(({ id, source }) => source === "file" && !wantedIds.has(id)), put };
}

export function sameTexts(one: readonly string[], other: readonly string[]): boolean {
  return one.length === other.length && one.every((text, index) => text === other[index]);
}
