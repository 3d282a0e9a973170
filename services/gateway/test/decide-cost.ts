// What a remembered answer costs: `npm run decide-cost -w services/gateway`. Everything is asked for once before.
import { setTimeout as delay } from "node:timers/promises";
import { policyV1 } from "@tollgate/contracts";
import { openGrpcClient, openLife, serviceMetadata } from "@tollgate/service";
import { eventually, testLog } from "@tollgate/testkit";
import { openPolicy } from "../src/clients/policy.ts";
import type { Subject } from "../src/domain/targets.ts";
import { principal, startPolicy } from "./controlled-policy.ts";

const SERVICE_KEY = "service-key-of-the-measurement";
const CALLERS = 10_000;
const TOOLS = 10;
const ROUNDS = 400;
/** Of the callers in each round. The lease is not renewed while one lasts. */
const ROUND_CALLERS = 500;

const life = openLife(testLog);
try {
  const server = await startPolicy({ serviceKey: SERVICE_KEY, life });
  const names = Array.from({ length: CALLERS }, (_each, n) => `caller-${n}`);
  for (const id of names) server.tokens.set(id, principal({ id, credential: id, roles: ["caller"] }));
  const client = openGrpcClient(policyV1.PolicyServiceClient, { address: server.address, name: "policy", life });
  const metadata = serviceMetadata(SERVICE_KEY);
  const policy = openPolicy({ client, metadata, gateway: "g", signal: life.signal, log: testLog });
  const leased = (): Promise<void> =>
    eventually(() => {
      if (policy.problem() !== undefined) throw new Error(policy.problem());
    });
  await leased();
  const tools = Array.from({ length: TOOLS }, (_each, n): Subject => {
    return { group: "demo", server: "files", name: `tool-${n}`, sandboxed: false, environment: "", risk: "LOW" };
  });
  const known = [];
  for (const token of names) known.push(await policy.authenticate({ token, certificate: undefined }));
  for (const each of known) await policy.decide({ principal: each, address: "10.0.0.1" }, "tools/call", tools);

  const asked = { ...server.asked };
  const spent = { authenticate: 0, decide: 0 };
  for (let round = 0; round < ROUNDS; round += 1) {
    await delay(1);
    await leased();
    const from = (round * ROUND_CALLERS) % CALLERS;
    const tokens = names.slice(from, from + ROUND_CALLERS);
    const callers = known.slice(from, from + ROUND_CALLERS);
    let began = performance.now();
    // A promise would mean that it was asked for.
    const answers = tokens.map((token) => policy.authenticate({ token, certificate: undefined }));
    spent.authenticate += performance.now() - began;
    if (answers.some((answer) => answer instanceof Promise)) throw new Error("a caller was not remembered");
    began = performance.now();
    for (const each of callers) {
      const ruling = policy.decide({ principal: each, address: "10.0.0.1" }, "tools/call", [tools[round % TOOLS]!]);
      if (ruling instanceof Promise) throw new Error("a decision was not remembered");
    }
    spent.decide += performance.now() - began;
  }
  if (server.asked.decide !== asked.decide) throw new Error("policy was asked");
  const each = (ms: number): string => `${((ms * 1_000) / (ROUNDS * ROUND_CALLERS)).toFixed(2)} µs`;
  process.stdout.write(
    `${CALLERS} callers, ${TOOLS} tools: who a token is ${each(spent.authenticate)}, a decision ${each(spent.decide)}\n`,
  );
} finally {
  await life.close();
}
