import type { Conditions } from "@tollgate/desired-state";
import { type CedarEngine, createCedarEngine, type EnginePolicy } from "../src/domain/cedar-engine.ts";
import type { Target } from "../src/domain/cedar-question.ts";
import { compile } from "../src/domain/compiled-policy.ts";
import type { PolicyRecord, WrittenPolicy } from "../src/domain/policy.ts";
import { NO_PRINCIPALS } from "../src/domain/principal.ts";
import { NO_SETTINGS } from "../src/domain/settings.ts";
import { buildState, type PolicyState } from "../src/domain/state.ts";
import { hashToken, type TokenRecord } from "../src/domain/token.ts";

/** Allows everybody everything of MCP, but for what the part says. */
export function policyOf(part: Partial<WrittenPolicy> = {}): PolicyRecord {
  return {
    id: "p",
    description: "",
    tenant: "",
    effect: "allow",
    principals: ["*"],
    actions: ["*"],
    resources: ["*"],
    conditions: {},
    record: [],
    cedarText: "",
    source: "api",
    version: 1,
    updatedAtMs: 0,
    updatedBy: "test",
    ...part,
  };
}

/** `id: effect | principals | actions | resources`, each a list separated by spaces; `| sandbox` where it requires one. */
export function policiesOf(...lines: string[]): PolicyRecord[] {
  return lines.map((line) => {
    const [head, ...lists] = line.split(" | ");
    const [id, effect] = head!.split(": ");
    const [principals, actions, resources, sandbox] = lists.map((list) => list.split(" "));
    const conditions: Conditions = sandbox === undefined ? {} : { require_sandbox: true };
    return policyOf({
      id: id!,
      effect: effect as "allow" | "deny",
      principals: principals!,
      actions: actions!,
      resources: resources!,
      conditions,
    });
  });
}

export function enginePolicyOf(part: Partial<WrittenPolicy>): EnginePolicy {
  const policy = policyOf(part);
  return { ...policy, compiled: compile(policy) };
}

export function engineOf(...parts: Partial<WrittenPolicy>[]): CedarEngine {
  return createCedarEngine(parts.map(enginePolicyOf));
}

export function targetOf(part: Partial<Target> = {}): Target {
  return { group: "g", server: "s", tool: "x", sandboxed: false, environment: "", risk: "LOW", ...part };
}

/** A token of the tenant acme that may use MCP, but for what the part says. */
export function tokenOf(name: string, part: Partial<TokenRecord> = {}): TokenRecord {
  return {
    name,
    tenant: "acme",
    team: "default",
    roles: [],
    permissions: ["mcp"],
    agent: "",
    sha256: hashToken(name),
    previous: undefined,
    createdBy: "",
    source: "file",
    createdAtMs: 0,
    expiresAtMs: undefined,
    revokedAtMs: undefined,
    ...part,
  };
}

export function stateOf(policies: readonly PolicyRecord[], tokens: readonly TokenRecord[] = []): PolicyState {
  const records = {
    tokens,
    policies,
    settings: NO_SETTINGS,
    principals: NO_PRINCIPALS,
    sessions: [],
    approvals: [],
    limits: [],
  };
  return buildState(1, records);
}
