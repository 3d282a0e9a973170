import { type Grant, type GrantIndex, indexGrants } from "./approvals.ts";
import { type CedarEngine, createCedarEngine } from "./cedar-engine.ts";
import { compile, type CompiledPolicy } from "./compiled-policy.ts";
import { indexLimits, type LimitIndex, type LimitRecord } from "./limits.ts";
import { type PolicyRecord, samePolicy } from "./policy.ts";
import { indexPrincipals, type PrincipalIndex, type PrincipalRecords } from "./principal.ts";
import { NO_SETTINGS, type Settings } from "./settings.ts";
import { indexTokens, type TokenIndex, type TokenRecord } from "./token.ts";

/** What a change may concern; the rest of the state stays as it is. */
export const PARTS = ["tokens", "principals", "policies", "settings", "sessions", "approvals", "limits"] as const;
export type Part = (typeof PARTS)[number];
/**
 * A part as a whole, or only the tokens of these names or the policies of these ids: with thousands of them, to read all
 * is what takes long.
 */
export type Changed = Part | { readonly tokens: readonly string[] } | { readonly policies: readonly string[] };

/** Everything decisions rest on, as of one revision. Never changed, only replaced. */
export interface PolicyState {
  readonly revision: number;
  readonly tokens: TokenIndex;
  /** Agents and users, and roles. */
  readonly principals: PrincipalIndex;
  readonly settings: Settings;
  readonly policies: readonly CompiledPolicy[];
  readonly engine: CedarEngine;
  /** Decisions may vary by the client's address. */
  readonly addressMatters: boolean;
  /** Sessions that were ended lately, the newest 1,000. */
  readonly endedSessions: readonly string[];
  /** Calls that were approved of. */
  readonly grants: GrantIndex;
  readonly limits: LimitIndex;
}

/** As the database has it, part by part. */
export interface PolicyRecords {
  /** Those that were ended, newest first. */
  readonly sessions: readonly string[];
  readonly tokens: readonly TokenRecord[];
  readonly principals: PrincipalRecords;
  readonly policies: readonly PolicyRecord[];
  /** What was never written is as NO_SETTINGS has it. */
  readonly settings: Partial<Settings>;
  /** Those that give access now. */
  readonly approvals: readonly Grant[];
  readonly limits: readonly LimitRecord[];
}

/** The parts that are read anew. */
export interface NewRecords extends Partial<PolicyRecords> {
  readonly someTokens?: { readonly names: readonly string[]; readonly records: readonly TokenRecord[] };
  readonly somePolicies?: { readonly ids: readonly string[]; readonly records: readonly PolicyRecord[] };
}

/**
 * @param records all parts; with `before` those that have changed
 * @param before what it follows on: of policies, only the new ones are checked
 * @throws {Error} when a policy cannot be compiled: such a state is not to be used.
 */
export function buildState(revision: number, records: PolicyRecords, before?: undefined): PolicyState;
export function buildState(revision: number, records: NewRecords, before: PolicyState): PolicyState;
export function buildState(revision: number, records: NewRecords, before?: PolicyState): PolicyState {
  return {
    revision,
    tokens: tokensOf(records, before),
    principals: records.principals === undefined ? before!.principals : indexPrincipals(records.principals),
    settings: records.settings === undefined ? before!.settings : { ...NO_SETTINGS, ...records.settings },
    ...policiesOf(records, before),
    grants: records.approvals === undefined ? before!.grants : indexGrants(records.approvals),
    limits: records.limits === undefined ? before!.limits : indexLimits(records.limits),
    endedSessions: records.sessions ?? before!.endedSessions,
  };
}

function tokensOf({ tokens, someTokens }: NewRecords, before?: PolicyState): TokenIndex {
  if (tokens !== undefined) return indexTokens(tokens);
  return someTokens === undefined ? before!.tokens : before!.tokens.with(someTokens.names, someTokens.records);
}

type Policies = Pick<PolicyState, "policies" | "engine" | "addressMatters">;

function policiesOf({ policies, somePolicies }: NewRecords, before?: PolicyState): Policies {
  if (policies !== undefined) return compilePolicies(policies, before);
  if (somePolicies === undefined)
    return { policies: before!.policies, engine: before!.engine, addressMatters: before!.addressMatters };
  const changed = new Set(somePolicies.ids);
  const staying = before!.policies.filter(({ id }) => !changed.has(id));
  const byId = (one: PolicyRecord, other: PolicyRecord): number => (one.id < other.id ? -1 : 1);
  return compilePolicies([...staying, ...somePolicies.records].toSorted(byId), before);
}

/** @param before whose policies need neither be compiled nor checked again */
export function compilePolicies(records: readonly PolicyRecord[], before?: Pick<PolicyState, "policies">): Policies {
  const known = new Map(before?.policies.map((policy) => [policy.id, policy]));
  const policies = records.map((record): CompiledPolicy => {
    const same = known.get(record.id);
    if (same === record) return same;
    const compiled = same !== undefined && samePolicy(same, record) ? same.compiled : compile(record);
    return { ...record, cedar: compiled.cedar, compiled };
  });
  return {
    policies,
    engine: createCedarEngine(policies, new Set(before?.policies.map(({ cedar }) => cedar))),
    addressMatters: policies.some(({ compiled }) => compiled.mentions.has("address")),
  };
}
