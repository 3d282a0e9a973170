import { isDeepStrictEqual } from "node:util";
import type { Recordable } from "@tollgate/contracts";
import {
  type Conditions,
  type DesiredPolicy,
  type EFFECTS,
  parsePrincipal,
  policySchema,
} from "@tollgate/desired-state";
import { checkCedarText } from "./cedar-check.ts";

export type Effect = (typeof EFFECTS)[number];
export type Source = "file" | "api";

/** A policy in the short form, or in Cedar; packages/desired-state has the grammar of its parts. */
export interface WrittenPolicy {
  readonly id: string;
  readonly description: string;
  /** Whose principals it concerns; empty: everybody's. */
  readonly tenant: string;
  readonly effect: Effect;
  readonly principals: readonly string[];
  readonly actions: readonly string[];
  readonly resources: readonly string[];
  readonly conditions: Conditions;
  /** What of calls that it decides on is kept whole; of one in Cedar as its annotation says. */
  readonly record: readonly Recordable[];
  /** What was written in Cedar; empty for the short form. The lists and conditions are empty then. */
  readonly cedarText: string;
}

export interface PolicyRecord extends WrittenPolicy {
  readonly source: Source;
  readonly version: number;
  /** Unix milliseconds. */
  readonly updatedAtMs: number;
  readonly updatedBy: string;
}

/** `principals[0]`, `conditions.time.from`, or `cedar:3:14` for line and column. */
export interface Mistake {
  readonly path: string;
  readonly message: string;
}

export type ParsedPolicy =
  | { readonly ok: true; readonly value: WrittenPolicy }
  | { readonly ok: false; readonly mistakes: readonly Mistake[] };

/** Checks a policy that came through the API: an id, and what an entry of the file has beside its name. */
export function parsePolicy({
  id,
  ...given
}: { readonly id: string } & Readonly<Record<string, unknown>>): ParsedPolicy {
  const parsed = policySchema.safeParse({ name: id, ...given });
  if (parsed.success) return toWritten(parsed.data);
  const mistakes = parsed.error.issues.map((issue) => {
    const [first, ...path] = issue.path;
    const place = first === "name" ? "id" : [first, ...path].map(pathStep).join("").slice(1);
    return issue.code === "unrecognized_keys"
      ? { path: [place, ...issue.keys].filter(Boolean).join("."), message: "is not a known key" }
      : { path: place, message: issue.message };
  });
  return { ok: false, mistakes };
}

function pathStep(step: PropertyKey | undefined): string {
  if (step === undefined) return "";
  return typeof step === "number" ? `[${step}]` : `.${String(step)}`;
}

/** With what only Cedar can say of its text. */
export function toWritten({ name, ...policy }: DesiredPolicy): ParsedPolicy {
  if (policy.cedarText === "") return { ok: true, value: { id: name, ...policy } };
  const check = checkCedarText(policy.cedarText);
  if (check.ok) return { ok: true, value: { id: name, ...policy, effect: check.effect, record: check.record } };
  return { ok: false, mistakes: [{ path: `cedar:${check.line}:${check.column}`, message: check.message }] };
}

export function describeMistakes(mistakes: readonly Mistake[]): string {
  return mistakes.map(({ path, message }) => `${path}: ${message}`).join("; ");
}

/** Whether the policy can concern anybody of the tenant. */
export function concernsTenant(
  policy: Pick<WrittenPolicy, "principals" | "tenant" | "cedarText">,
  tenant: string,
  tenantOfToken: (name: string) => string | undefined,
): boolean {
  if (policy.tenant !== "") return policy.tenant === tenant;
  if (policy.cedarText !== "") return true;
  return policy.principals.some((text) => {
    const parsed = parsePrincipal(text);
    if (!parsed.ok) return true;
    if (parsed.value.kind === "tenant") return parsed.value.name === tenant;
    return parsed.value.kind !== "token" || tenantOfToken(parsed.value.name) === tenant;
  });
}

const WRITTEN = [
  "tenant",
  "description",
  "effect",
  "principals",
  "actions",
  "resources",
  "conditions",
  "record",
  "cedarText",
] as const;

export function samePolicy(one: WrittenPolicy, other: WrittenPolicy): boolean {
  return WRITTEN.every((part) => isDeepStrictEqual(one[part], other[part]));
}

/** As tollgate.yaml has it. */
export function toFileForm(policy: WrittenPolicy): Record<string, unknown> {
  const {
    id: name,
    description,
    tenant,
    effect,
    principals,
    actions,
    resources,
    conditions,
    record,
    cedarText,
  } = policy;
  const isCedar = cedarText !== "";
  return {
    name,
    ...(description === "" ? {} : { description }),
    ...(tenant === "" ? {} : { tenant }),
    ...(isCedar ? { cedar: cedarText } : { effect, principals, actions, resources }),
    ...(Object.keys(conditions).length === 0 ? {} : { conditions }),
    ...(record.length === 0 ? {} : { record }),
  };
}

export function sameTexts(one: readonly string[], other: readonly string[]): boolean {
  return one.length === other.length && one.every((text, index) => text === other[index]);
}
