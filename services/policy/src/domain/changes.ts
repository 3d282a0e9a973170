import { isDeepStrictEqual } from "node:util";
import type { Change } from "@tollgate/contracts";
import type { CompiledPolicy } from "./compiled-policy.ts";
import type { LimitRecord } from "./limits.ts";
import type { KnownPrincipal, PrincipalRecords } from "./principal.ts";
import type { Settings } from "./settings.ts";
import type { Changed, Part, PolicyState } from "./state.ts";
import type { TokenRecord } from "./token.ts";

/** One resource that is not as it was before. */
export type ResourceChange = Omit<Change, "principal" | "revision">;

/** A resource as the record shows it: without secrets, and without what changes by itself. */
interface Shown {
  readonly tenant: string;
  readonly resource: Change["resource"];
  readonly name: string;
  readonly value: Readonly<Record<string, unknown>>;
  /** A secret of it, such as what proves that somebody is it. Never shown: another one is a rotation. */
  readonly proof?: string;
}

/** What a change of these parts has made of a state, resource by resource. Approvals and sessions tell of themselves. */
export function changesBetween(before: PolicyState, after: PolicyState, changed: readonly Changed[]): ResourceChange[] {
  return changed.flatMap((each) => {
    const [was, is] = [before, after].map((state) => new Map(shownOf(state, each).map((one) => [keyOf(one), one])));
    return [...new Set([...was!.keys(), ...is!.keys()])].flatMap((key) => changeOf(was!.get(key), is!.get(key)));
  });
}

function keyOf({ resource, tenant, name }: Shown): string {
  // A token is known by its name alone, and may come to be another tenant's.
  return JSON.stringify([resource, resource === "token" ? "" : tenant, name]);
}

function changeOf(before: Shown | undefined, after: Shown | undefined): ResourceChange[] {
  const { tenant, resource, name } = (after ?? before)!;
  const about = { tenant, resource, name };
  if (before === undefined) return [{ ...about, change: "created", after: after!.value }];
  if (after === undefined) return [{ ...about, change: "deleted", before: before.value }];
  const isSame = before.proof === after.proof && isDeepStrictEqual(before.value, after.value);
  return isSame ? [] : [{ ...about, change: howChanged(before, after), before: before.value, after: after.value }];
}

function howChanged(before: Shown, after: Shown): ResourceChange["change"] {
  const [wasRevoked, isRevoked] = [before, after].map(({ value }) => value["revokedAt"] !== undefined);
  if (isRevoked && !wasRevoked) return "revoked";
  // The name of a token that was revoked, given anew.
  if (wasRevoked && !isRevoked) return "created";
  return before.proof === after.proof ? "updated" : "rotated";
}

function shownOf(state: PolicyState, changed: Changed): Shown[] {
  if (typeof changed === "string") return SHOWN[changed](state);
  if ("policies" in changed) {
    const ids = new Set(changed.policies);
    return state.policies.filter(({ id }) => ids.has(id)).map(policyShown);
  }
  return changed.tokens.flatMap((name) => state.tokens.byName.get(name) ?? []).map(tokenShown);
}

const NOTHING = (): Shown[] => [];

const SHOWN: Readonly<Record<Part, (state: PolicyState) => Shown[]>> = {
  tokens: ({ tokens }) => [...tokens.byName.values()].map(tokenShown),
  principals: ({ principals }) => principalsShown(principals),
  policies: ({ policies }) => policies.map(policyShown),
  settings: ({ settings }) => settingsShown(settings),
  limits: ({ limits }) => limits.records.map(limitShown),
  sessions: NOTHING,
  approvals: NOTHING,
};

function tokenShown({ name, tenant, sha256, previous, ...token }: TokenRecord): Shown {
  const { team, roles, permissions, agent, source, createdBy, expiresAtMs, revokedAtMs } = token;
  return {
    tenant,
    resource: "token",
    name,
    proof: sha256.toString("hex"),
    value: withoutAbsent({
      tenant,
      team,
      roles,
      permissions,
      agent: agent || undefined,
      source,
      createdBy: createdBy || undefined,
      expiresAt: isoTime(expiresAtMs),
      revokedAt: isoTime(revokedAtMs),
      earlierSecretUntil: isoTime(previous?.untilMs),
    }),
  };
}

function policyShown({ id, compiled: _compiled, cedar: _cedar, cedarText, ...policy }: CompiledPolicy): Shown {
  const { updatedAtMs: _at, updatedBy: _by, ...value } = policy;
  const text = cedarText === "" ? {} : { cedar: cedarText };
  return { tenant: policy.tenant, resource: "policy", name: id, value: { ...value, ...text } };
}

function principalsShown({ principals, roles }: PrincipalRecords): Shown[] {
  return [
    ...principals.map(principalShown),
    ...roles.map(({ tenant, name, ...value }): Shown => ({ tenant, resource: "role", name, value })),
  ];
}

function principalShown({ tenant, id, updatedAtMs: _at, updatedBy: _by, ...value }: KnownPrincipal): Shown {
  return { tenant, resource: id.startsWith("user:") ? "user" : "agent", name: id, value };
}

/** Of a webhook only its host and the names of its headers: all else may be a secret, also where it refers to none. */
function limitShown({ name, updatedAtMs: _at, updatedBy: _by, ...limit }: LimitRecord): Shown {
  const { budget, ...rest } = limit;
  const about = { tenant: "", resource: "limit", name } as const;
  if (budget === undefined) return { ...about, value: rest };
  const { webhook, ...shown } = budget;
  if (webhook === undefined) return { ...about, value: { ...rest, budget: shown } };
  const headers = Object.keys(webhook.headers);
  const told = { host: hostOf(webhook.url), headers, isSigned: webhook.secret !== undefined };
  const proof = JSON.stringify(webhook);
  return { ...about, proof, value: { ...rest, budget: { ...shown, webhook: told } } };
}

function hostOf(url: string): string {
  return URL.canParse(url) ? new URL(url).host : "";
}

function settingsShown({ oauth, certificates, opa, riskLevels }: Settings): Shown[] {
  const { levels, ...others } = riskLevels;
  const ofLevels = Object.entries({ ...levels, every: others });
  return [
    ...oauth.map(({ issuer, ...value }): Shown => ({ tenant: "", resource: "issuer", name: issuer, value })),
    ...certificates.map(({ name, tenant, ...value }): Shown => ({
      tenant,
      resource: "certificate",
      name,
      value: { ...value },
    })),
    ...(opa === null ? [] : [{ tenant: "", resource: "opa", name: "opa", value: { ...opa } } as const]),
    ...ofLevels.map(([name, value]): Shown => ({ tenant: "", resource: "risk_level", name, value: { ...value } })),
  ];
}

function withoutAbsent(value: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(value).filter(([, each]) => each !== undefined));
}

function isoTime(ms: number | undefined): string | undefined {
  return ms === undefined ? undefined : new Date(ms).toISOString();
}
