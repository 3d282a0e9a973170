// What one decision costs, without the gateway's cache: `npm run decide-cost -w services/policy`. All policies but
// those of the last line concern the subject, as at worst they may.
import { decider } from "../src/domain/decision.ts";
import { NO_SETTINGS } from "../src/domain/settings.ts";
import { buildState } from "../src/domain/state.ts";
import { hashToken } from "../src/domain/token.ts";

const ROUNDS = 5_000;

function stateWith(count: number, concerning: number) {
  const policies = Array.from({ length: count }, (_, index) => ({
    id: `policy-${index}`,
    effect: index % 5 === 4 ? ("deny" as const) : ("allow" as const),
    principals: [`role:role-${index}`, index < concerning ? "team:ours" : `team:team-${index}`],
    actions: ["tools/call"],
    resources: [`server-${index}:read_*`, `files-${index}:*_all`, "group:none"],
    requireSandbox: false,
    source: "file" as const,
    version: 1,
    updatedAtMs: 0,
    updatedBy: "cost",
  }));
  const token = {
    name: "dev",
    tenant: "acme",
    team: "ours",
    roles: ["role-0", "role-1", "role-2"],
    permissions: ["mcp"],
    sha256: hashToken("x"),
    source: "file" as const,
    createdAtMs: 0,
    expiresAtMs: undefined,
    revokedAtMs: undefined,
  };
  return buildState(1, { tokens: [token], settings: NO_SETTINGS, policies, sessions: [] });
}

function at(sorted: readonly number[], share: number): string {
  return sorted[Math.floor(sorted.length * share)]!.toFixed(3);
}

for (const [count, concerning] of [
  [1, 1],
  [10, 10],
  [50, 50],
  [200, 200],
  [1_000, 20],
] as const) {
  const began = performance.now();
  const state = stateWith(count, concerning);
  const question = {
    principal: { id: "dev", tenant: "acme", team: "ours", roles: [], permissions: [] },
    action: "tools/call",
    nowMs: 0,
  };
  decider(state, question)({ group: "g", server: "server-1", tool: "warm", sandboxed: false });
  const buildMs = performance.now() - began;
  const times: number[] = [];
  for (let round = 0; round < ROUNDS / Math.max(1, concerning / 50); round += 1) {
    const start = performance.now();
    decider(state, question)({ group: "g", server: "server-1", tool: `read_${round}`, sandboxed: false });
    times.push(performance.now() - start);
  }
  times.sort((one, other) => one - other);
  const line = `${count} policies, ${concerning} concerning: built in ${buildMs.toFixed(0)} ms; a decision p50 ${at(times, 0.5)} ms, p99 ${at(times, 0.99)} ms\n`;
  process.stdout.write(line);
  state.engine.dispose();
}
