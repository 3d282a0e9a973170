import { readFile } from "node:fs/promises";
import { policyV1 } from "@tollgate/contracts";
import { callUnary } from "@tollgate/service";
import { useInfrastructure } from "@tollgate/testkit";
import { afterAll, beforeAll, expect, test } from "vitest";
import { runPolicy, type RunningPolicy } from "./running-policy.ts";

// docs/examples/policies.yaml as it is, and that it decides as its comments say.

const EXAMPLES = new URL("../../../docs/examples/policies.yaml", import.meta.url);

const infra = useInfrastructure();
let policy: RunningPolicy;
beforeAll(async () => {
  const text = await readFile(EXAMPLES, "utf8");
  policy = await runPolicy(infra, { text: text.replaceAll(/\$\{(\w+)\}/g, "$1-0123456789") });
});
afterAll(() => policy.close());

const SERVERS: Readonly<Record<string, Partial<policyV1.Resource>>> = {
  files: { group: "office" },
  tickets: { group: "office" },
  deploy: { group: "delivery", environment: "production", risk: "MEDIUM" },
  "deploy-test": { group: "delivery", environment: "test" },
};
const MONDAY_NOON_MS = Date.UTC(2026, 8, 7, 10);
const MONDAY_NIGHT_MS = Date.UTC(2026, 8, 7, 16, 30);
const SUNDAY_NOON_MS = Date.UTC(2026, 8, 6, 10);
const BUILDER = "10.20.3.4";

interface Asked {
  readonly args?: object;
  readonly risk?: string;
  readonly address?: string;
  readonly atMs?: number;
}

async function ask(who: string, what: string, { args, risk, address, atMs = MONDAY_NOON_MS }: Asked = {}) {
  const [server = "", tool = ""] = what.split(":");
  const isAdmin = what.startsWith("admin/");
  const question = policyV1.DecideRequest.fromPartial({
    principal: { id: who, permissions: ["mcp"] },
    action: isAdmin ? what : "tools/call",
    resources: [isAdmin ? {} : { server, tool, ...SERVERS[server], ...(risk === undefined ? {} : { risk }) }],
    address: address ?? "",
    ...(args === undefined ? {} : { arguments: JSON.stringify(args) }),
  });
  const request = { question, atMs: BigInt(atMs), proposed: [], removed: [] };
  const unary = { metadata: policy.metadata, timeoutMs: 10_000, service: "policy" };
  const { decisions } = await callUnary(policy.client.testPolicies.bind(policy.client), request, unary);
  const { allow, policyIds } = decisions[0]!;
  return `${allow ? "allow" : "deny"} ${policyIds.join(" ")}`.trim();
}

const TEAM = "payments-at-work";
const FROZEN = "production-is-frozen";
const WRITES = "files-are-written-in-shared-folders";

test.each<[who: string, what: string, asked: Asked, answer: string]>([
  ["ann", "files:read_file", {}, `allow ${TEAM}`],
  ["ann", "tickets:create", { args: {} }, `allow ${TEAM}`],
  ["ann", "deploy-test:deploy", {}, "deny"],
  ["ann", "deploy:deploy", {}, `deny ${FROZEN}`],
  ["nightly", "files:read_file", {}, "deny"],
  ["officer", "files:read_file", {}, "deny"],

  ["ann", "files:write_file", { args: { path: "/shared/a" } }, `allow ${TEAM}`],
  ["ann", "files:write_file", { args: { path: "/drafts/a" } }, `allow ${TEAM}`],
  ["ann", "files:write_file", { args: { path: "/shared/../etc/passwd" } }, `deny ${WRITES}`],
  ["ann", "files:write_file", { args: { path: "/private/bob" } }, `deny ${WRITES}`],
  ["ann", "files:write_file", { args: { path: ["/shared/a"] } }, `deny ${WRITES}`],
  ["ann", "files:write_file", { args: {} }, `deny ${WRITES}`],
  ["ann", "files:read_file", { args: { path: "/private/bob" } }, `allow ${TEAM}`],

  ["nightly", "deploy:deploy", { address: BUILDER }, "allow automation-deploys"],
  ["nightly", "deploy-test:deploy", { address: BUILDER }, "allow automation-deploys"],
  ["nightly", "deploy:deploy", { address: "10.21.0.1" }, "deny"],
  ["nightly", "deploy:deploy", {}, "deny"],
  ["nightly", "deploy:deploy", { address: BUILDER, atMs: MONDAY_NIGHT_MS }, "deny"],
  ["nightly", "deploy:deploy", { address: BUILDER, atMs: SUNDAY_NOON_MS }, "deny"],
  ["nightly", "deploy:drop_database", { address: BUILDER, risk: "CRITICAL" }, "deny nothing-critical"],

  ["nightly", "tickets:refund", { args: { amount: 100 } }, "allow small-refunds"],
  ["nightly", "tickets:refund", { args: { amount: 100.5 } }, "deny"],
  ["nightly", "tickets:refund", { args: { amount: "5" } }, "deny"],
  ["nightly", "tickets:refund", { args: {} }, "deny"],

  ["officer", "admin/audit/read", {}, "allow security-reads"],
  ["ann", "admin/audit/read", {}, "deny"],
  ["ann", "admin/policies/write", {}, "deny"],
])("%s on %s with %j: %s", async (who, what, asked, answer) => {
  expect(await ask(who, what, asked)).toBe(answer);
});
