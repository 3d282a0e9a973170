// What one decision costs, without the gateway's cache: `npm run decide-cost -w services/policy`. A third of the policies
// has conditions. Of "tenants" each has as many policies and tokens as the others; of the rest all policies but those of
// everybody else concern the subject, as at worst they may.
import type { Conditions } from "@tollgate/desired-state";
import { decider } from "../src/domain/decision.ts";
import type { PolicyRecord } from "../src/domain/policy.ts";
import { policyOf, stateOf, targetOf, tokenOf } from "./sample-policies.ts";

const ROUNDS = 4_000;
const TENANTS = 100;
const TOKENS = 10_000;

const CONDITIONS: readonly Conditions[] = [
  {},
  {},
  { time: { from: "06:00", to: "22:00", timezone: "Europe/Berlin" }, environment: ["production"] },
  {},
  {},
  { network: ["10.0.0.0/8"], risk: ["LOW", "MEDIUM"] },
];

function policyAt(index: number, part: Partial<PolicyRecord>): PolicyRecord {
  return policyOf({
    id: `policy-${index}`,
    effect: index % 5 === 4 ? "deny" : "allow",
    actions: ["tools/call"],
    resources: [`server-${index}:read_*`, `files-${index}:*_all`, "group:none"],
    conditions: CONDITIONS[index % CONDITIONS.length]!,
    ...part,
  });
}

function whereAllConcern(count: number, concerning: number) {
  const policies = Array.from({ length: count }, (_, index) =>
    policyAt(index, { principals: [`role:role-${index}`, index < concerning ? "team:ours" : `team:team-${index}`] }),
  );
  return stateOf(policies, [tokenOf("dev-0", { team: "ours", roles: ["role-0", "role-1", "role-2"] })]);
}

function withTenants(count: number) {
  const tenantOf = (index: number) => `tenant-${index % TENANTS}`;
  const policies = Array.from({ length: count }, (_, index) => policyAt(index, { tenant: tenantOf(index) }));
  const tokens = Array.from({ length: TOKENS }, (_, index) =>
    tokenOf(`dev-${index}`, { tenant: tenantOf(index), roles: [`role-${index % 7}`] }),
  );
  return stateOf(policies, tokens);
}

function at(sorted: readonly number[], share: number): string {
  return sorted[Math.floor(sorted.length * share)]!.toFixed(3);
}

function measure(name: string, build: () => ReturnType<typeof stateOf>, concerning: number): void {
  const began = performance.now();
  const state = build();
  const buildMs = performance.now() - began;
  const names = [...state.tokens.byName.keys()];
  const decide = (round: number): void => {
    const id = names[round % names.length]!;
    const { tenant } = state.tokens.byName.get(id)!;
    const principal = { id, tenant, team: "", roles: [], permissions: [] };
    const target = targetOf({ server: "server-1", tool: `read_${round}`, environment: "production" });
    decider(state, { principal, action: "tools/call", nowMs: Date.now(), address: "10.1.2.3" })(target);
  };
  const first = performance.now();
  decide(0);
  const firstMs = performance.now() - first;
  for (let round = 0; round < 200; round += 1) decide(round);
  const times: number[] = [];
  for (let round = 0; round < ROUNDS / Math.max(1, concerning / 50); round += 1) {
    const start = performance.now();
    decide(round);
    times.push(performance.now() - start);
  }
  times.sort((one, other) => one - other);
  const took = `built in ${buildMs.toFixed(0)} ms, first ${firstMs.toFixed(1)} ms`;
  process.stdout.write(`${name}: ${took}; a decision p50 ${at(times, 0.5)} ms, p99 ${at(times, 0.99)} ms\n`);
  state.engine.dispose();
}

for (const [count, concerning] of [
  [1, 1],
  [10, 10],
  [50, 50],
  [200, 200],
  [1_000, 20],
] as const)
  measure(`${count} policies, ${concerning} concerning`, () => whereAllConcern(count, concerning), concerning);
measure(`1000 policies and ${TOKENS} tokens of ${TENANTS} tenants`, () => withTenants(1_000), 10);
