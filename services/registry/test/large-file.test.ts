import { useInfrastructure } from "@tollgate/testkit";
import { expect, test } from "vitest";
import { runRegistry } from "./running-registry.ts";

const SERVERS = 50;
/** What is promised; the machine may be busy. */
const APPLIED_MAX_MS = 5_000;

const infra = useInfrastructure();

const fileOf = (command: string) => `groups: [{ id: a }, { id: b }, { id: c }, { id: d }, { id: e }]
mcp_servers:
${Array.from({ length: SERVERS }, (_, at) => `  - { id: s-${at}, group: ${"abcde"[at % 5]}, type: command, command: ${command}, env: { KEY: k-${at} }, tools: { write: { risk: HIGH } } }\n`).join("")}`;

test("a file and a document with 50 servers are in force within five seconds", async () => {
  const registry = await runRegistry(infra, { text: "groups: [{ id: a }]" });
  const work = registry.watchAssignments();
  await work.until(() => undefined);
  const timeOf = async (change: () => Promise<unknown>, command: string): Promise<number> => {
    const startMs = performance.now();
    await change();
    await work.until((last) => {
      expect(last.assignments).toHaveLength(SERVERS);
      expect(last.assignments.every((each) => each.command === command)).toBe(true);
    });
    return performance.now() - startMs;
  };
  const times = {
    file: await timeOf(() => registry.writeFile(fileOf("one")), "one"),
    changedFile: await timeOf(() => registry.writeFile(fileOf("two")), "two"),
    document: await timeOf(() => registry.reconcile(fileOf("three")), "three"),
    plan: await timeOf(() => registry.reconcile(fileOf("four"), { dryRun: true }), "three"),
  };
  process.stdout.write(
    `${SERVERS} servers, ms: ${JSON.stringify(times, (_key, ms) => (typeof ms === "number" ? Math.round(ms) : ms))}\n`,
  );
  for (const ms of Object.values(times)) expect(ms).toBeLessThan(APPLIED_MAX_MS);
  await registry.close();
});
