import { type Grant, type GrantIndex, indexGrants } from "./approvals.ts";
import { type CedarEngine, createCedarEngine } from "./cedar-engine.ts";
import { toCedarText } from "./cedar-text.ts";
import type { PolicyRecord } from "./policy.ts";
import type { Settings } from "./settings.ts";
import { indexTokens, type TokenIndex, type TokenRecord } from "./token.ts";

export interface CompiledPolicy extends PolicyRecord {
  readonly cedar: string;
}

/** What a change may concern; the rest of the state stays as it is. */
export const PARTS = ["tokens", "policies", "settings", "sessions", "approvals"] as const;
export type Part = (typeof PARTS)[number];

/** Everything decisions rest on, as of one revision. Never changed, only replaced. */
export interface PolicyState {
  readonly revision: number;
  readonly tokens: TokenIndex;
  readonly settings: Settings;
  readonly policies: readonly CompiledPolicy[];
  readonly engine: CedarEngine;
  /** Decisions may vary by the client's address. */
  readonly addressMatters: boolean;
  /** Sessions that were ended lately, the newest 1,000. */
  readonly endedSessions: readonly string[];
  /** Calls that were approved of. */
  readonly grants: GrantIndex;
}

/** As the database has it, part by part. */
export interface PolicyRecords {
  /** Those that were ended, newest first. */
  readonly sessions: readonly string[];
  readonly tokens: readonly TokenRecord[];
  readonly policies: readonly PolicyRecord[];
  readonly settings: Settings;
  /** Those that give access now. */
  readonly approvals: readonly Grant[];
}

/**
 * @param records all parts; with `before` those that have changed
 * @param before what it follows on: of policies, only the new ones are checked
 * @throws {Error} when a policy cannot be compiled: such a state is not to be used.
 */
export function buildState(revision: number, records: PolicyRecords, before?: undefined): PolicyState;
export function buildState(revision: number, records: Partial<PolicyRecords>, before: PolicyState): PolicyState;
export function buildState(revision: number, records: Partial<PolicyRecords>, before?: PolicyState): PolicyState {
  return {
    revision,
    tokens: records.tokens === undefined ? before!.tokens : indexTokens(records.tokens),
    settings: records.settings ?? before!.settings,
    ...(records.policies === undefined ? policiesOf(before!) : compilePolicies(records.policies, before)),
    // FIXME is said by the policies: one with a network condition, or Cedar text that uses context.address.
    addressMatters: false,
    grants: records.approvals === undefined ? before!.grants : indexGrants(records.approvals),
    endedSessions: records.sessions ?? before!.endedSessions,
  };
}

function policiesOf({ policies, engine }: PolicyState): Pick<PolicyState, "policies" | "engine"> {
  return { policies, engine };
}

/** @param before whose policies need no check any more */
export function compilePolicies(
  records: readonly PolicyRecord[],
  before?: Pick<PolicyState, "policies">,
): Pick<PolicyState, "policies" | "engine"> {
  const policies = records.map((record) => ({ ...record, cedar: toCedarText(record) }));
  return { policies, engine: createCedarEngine(policies, new Set(before?.policies.map(({ cedar }) => cedar))) };
}
