import type { OauthSettings } from "./access-token.ts";
import { type CedarEngine, createCedarEngine } from "./cedar-engine.ts";
import { toCedarText } from "./cedar-text.ts";
import type { PolicyRecord } from "./policy.ts";
import { indexTokens, type TokenIndex, type TokenRecord } from "./token.ts";

export interface CompiledPolicy extends PolicyRecord {
  readonly cedar: string;
}

/** Everything decisions rest on, as of one revision. Never changed, only replaced. */
export interface PolicyState {
  readonly revision: number;
  readonly tokens: TokenIndex;
  /** Undefined where access tokens are not taken. */
  readonly oauth: OauthSettings | undefined;
  readonly policies: readonly CompiledPolicy[];
  readonly engine: CedarEngine;
}

/**
 * @param before what it follows on: of policies, only the new ones are checked
 * @throws {Error} when a policy cannot be compiled: such a state is not to be used.
 */
export function buildState(
  records: {
    readonly revision: number;
    readonly tokens: readonly TokenRecord[];
    readonly oauth: OauthSettings | undefined;
    readonly policies: readonly PolicyRecord[];
  },
  before?: PolicyState,
): PolicyState {
  const tokens = indexTokens(records.tokens);
  const policies = records.policies.map((record) => ({ ...record, cedar: toCedarText(record) }));
  const engine = createCedarEngine(policies, new Set(before?.policies.map(({ cedar }) => cedar)));
  return { revision: records.revision, tokens, oauth: records.oauth, policies, engine };
}
