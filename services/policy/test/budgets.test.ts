import { createHmac } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer, type IncomingHttpHeaders, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { limitsV1, meteringV1 } from "@tollgate/contracts";
import { callUnary, openLife, startGrpcServer, unary } from "@tollgate/service";
import { eventually, testLog, useInfrastructure } from "@tollgate/testkit";
import pg from "pg";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { followRecord, type Recorded } from "./recorded.ts";
import { FILE, runPolicy, type RunningPolicy } from "./running-policy.ts";

// Who has spent how much of a budget is told once for each threshold, on the record and to a webhook.

const KEY = "webhook-key-0123456789";
const AUTHORIZATION = "webhook-token-0123456789";

const infra = useInfrastructure();
const life = openLife(testLog);
const open: RunningPolicy[] = [];
let recorded: () => Recorded[];
let admin: pg.Client;
let secrets: string;
let meteringAddress: string;
let costs: Record<string, string>;
let receiver: Server;
let received: { readonly path: string; readonly headers: IncomingHttpHeaders; readonly body: string }[];
let answers: number[];
let seen = 0;

async function startMetering(): Promise<string> {
  const implementation = {
    getUsage: unary(testLog, (_request: meteringV1.GetUsageRequest) => {
      const rows = Object.entries(costs).map(([team, cost]) =>
        meteringV1.UsageRow.fromPartial({ key: { tenant: "acme", team }, cost }),
      );
      return meteringV1.GetUsageResponse.fromPartial({ rows, currency: "EUR", asOfMs: BigInt(Date.now()) });
    }),
  } as Partial<meteringV1.MeteringServiceServer> as meteringV1.MeteringServiceServer;
  const services = [{ definition: meteringV1.MeteringServiceService, implementation }];
  const { serviceKey } = infra;
  return `127.0.0.1:${(await startGrpcServer({ host: "127.0.0.1", port: 0, serviceKey, services, life })).port}`;
}

beforeAll(async () => {
  recorded = await followRecord(infra, life);
  admin = new pg.Client({ connectionString: infra.adminUrl });
  await admin.connect();
  life.onClose("admin", 1_000, () => admin.end());
  secrets = await mkdtemp(join(tmpdir(), "tollgate-secrets-"));
  await writeFile(join(secrets, "webhook-key"), `${KEY}\n`);
  await writeFile(join(secrets, "webhook-token"), AUTHORIZATION);
  meteringAddress = await startMetering();
});
afterAll(async () => {
  await life.close();
  await rm(secrets, { recursive: true });
});
beforeEach(async () => {
  await admin.query("DROP SCHEMA IF EXISTS policy CASCADE");
  await admin.query("CREATE SCHEMA policy AUTHORIZATION tollgate_policy");
  seen = recorded().length;
  costs = {};
  received = [];
  answers = [];
  receiver = createServer((request, response) => {
    let body = "";
    request.on("data", (chunk) => (body += String(chunk)));
    request.on("end", () => {
      received.push({ path: request.url!, headers: request.headers, body });
      const status = answers.shift() ?? 204;
      response.writeHead(status, status === 302 ? { location: "/elsewhere" } : {}).end();
    });
  });
  await new Promise<void>((resolve) => receiver.listen(0, "127.0.0.1", resolve));
});
afterEach(async () => {
  await Promise.all(open.splice(0).map((each) => each.close()));
  receiver.closeAllConnections();
  await new Promise((resolve) => receiver.close(resolve));
});

const hookUrl = () => `http://127.0.0.1:${(receiver.address() as AddressInfo).port}/hook`;
const WEBHOOK = (url: string) =>
  `webhook: { url: "${url}", secret: "\${secret:webhook-key}", headers: { Authorization: "Bearer \${secret:webhook-token}" } }`;
const fileWith = (budget: string) => `${FILE}limits: [{ name: money, per: team, budget: { ${budget} } }]\n`;
const MONTHLY = "amount: 12.50, period: month";

async function run(budget: string): Promise<RunningPolicy> {
  const env = { TOLLGATE_SECRETS_DIR: secrets };
  const policy = await runPolicy(infra, { text: fileWith(budget), meteringAddress, env });
  open.push(policy);
  return policy;
}

const budgetEvents = () =>
  recorded()
    .slice(seen)
    .filter(({ kind }) => kind === "budget");
const told = () =>
  budgetEvents().map(({ key, threshold, spent }) => `${String(key)} ${String(threshold)} ${String(spent)}`);

async function isLetIn(policy: RunningPolicy): Promise<boolean> {
  const leases = [{ key: "budget|money|acme%2Fpayments", wanted: 1, waiting: 1 }];
  const request = limitsV1.LeaseLimitsRequest.fromPartial({ gateway: "g1", leases });
  const unaryOptions = { metadata: policy.metadata, timeoutMs: 10_000, service: "policy" };
  const { grants } = await callUnary(policy.client.leaseLimits.bind(policy.client), request, unaryOptions);
  return grants[0]!.granted > 0;
}

describe("a budget", () => {
  test("tells of each threshold that is passed, once, by an event and a signed request; and refuses at its end", async () => {
    costs = { payments: "6.249999999", sales: "0" };
    const policy = await run(`${MONTHLY}, ${WEBHOOK(hookUrl())}`);
    await eventually(async () => expect(await isLetIn(policy)).toBe(true));
    expect(told()).toEqual([]);
    costs = { payments: "6.25" };
    await eventually(() => expect(told()).toEqual(["acme/payments 50 6.25"]));
    costs = { payments: "12.5", sales: "11" };
    await eventually(() => expect(budgetEvents()).toHaveLength(5));
    expect(new Set(told())).toEqual(
      new Set([
        "acme/payments 50 6.25",
        "acme/payments 80 12.50",
        "acme/payments 100 12.50",
        "acme/sales 50 11.00",
        "acme/sales 80 11.00",
      ]),
    );
    expect(budgetEvents()[0]).toMatchObject({
      tenant: "acme",
      budget: "money",
      amount: "12.50",
      currency: "EUR",
      reason: '50 % of the budget "money" are spent by acme/payments: 6.25 of 12.50 EUR a month',
      periodFrom: Date.UTC(new Date().getUTCFullYear(), new Date().getUTCMonth()),
    });
    expect(await isLetIn(policy)).toBe(false);
    await eventually(() => expect(received).toHaveLength(5));
    for (const { headers, body } of received) {
      const event = JSON.parse(body) as Record<string, unknown>;
      expect(headers).toMatchObject({ authorization: `Bearer ${AUTHORIZATION}`, "content-type": "application/json" });
      expect(headers["x-tollgate-delivery"]).toBe(event["id"]);
      const [, seconds, signature] = /^t=(\d+),v1=([0-9a-f]{64})$/.exec(String(headers["x-tollgate-signature"]))!;
      expect(signature).toBe(createHmac("sha256", KEY).update(`${seconds}.${body}`).digest("hex"));
    }
    const bodies = received.map(({ body }) => JSON.parse(body) as Recorded);
    expect(new Set(bodies.map(({ key, threshold }) => `${String(key)} ${String(threshold)}`)).size).toBe(5);
  });

  test("tells once with two replicas, and not again after a restart; a raised one tells anew", async () => {
    costs = { payments: "11" };
    const text = `${MONTHLY}, thresholds: [80, 20], ${WEBHOOK(hookUrl())}`;
    await Promise.all([run(text), run(text)]);
    await eventually(() => expect(received).toHaveLength(2));
    await Promise.all(open.splice(0).map((each) => each.close()));
    const again = await run(text);
    // Whether money is left is known with the figures that thresholds are looked for in.
    await eventually(async () => expect(await isLetIn(again)).toBe(true));
    costs = { payments: "12.50" };
    await eventually(async () => expect(await isLetIn(again)).toBe(false));
    expect(told()).toEqual(["acme/payments 20 11.00", "acme/payments 80 11.00"]);
    expect(received).toHaveLength(2);
    await again.writeFile(fileWith("amount: 20, period: month, thresholds: [50, 80]"));
    await eventually(() => expect(told().slice(2)).toEqual(["acme/payments 50 12.50"]));
    expect(received).toHaveLength(2);
  });

  test("keeps trying a webhook that does not take it, follows no redirect, and loses none that it has not told", async () => {
    answers = [500, 302, 429];
    costs = { payments: "7" };
    const url = hookUrl();
    await run(`${MONTHLY}, ${WEBHOOK(url)}`);
    await eventually(() => expect(received.length).toBeGreaterThan(1), { timeoutMs: 20_000 });
    // Whoever comes after it goes on.
    await Promise.all(open.splice(0).map((each) => each.close()));
    await run(`${MONTHLY}, ${WEBHOOK(url)}`);
    await eventually(() => expect(received).toHaveLength(4), { timeoutMs: 30_000 });
    await eventually(async () => {
      const { rows } = await admin.query<{ id: string }>("SELECT id FROM policy.webhooks");
      expect(rows).toEqual([]);
    });
    expect(new Set(received.map(({ path }) => path))).toEqual(new Set(["/hook"]));
    expect(new Set(received.map(({ body }) => body)).size).toBe(1);
    expect(budgetEvents()).toHaveLength(1);
  });

  test("keeps a webhook's secrets out of the database and of the record", async () => {
    costs = { payments: "7" };
    const policy = await run(`${MONTHLY}, ${WEBHOOK(hookUrl())}`);
    await eventually(() => expect(received).toHaveLength(1));
    const { limits } = await callUnary(
      policy.client.listLimits.bind(policy.client),
      {},
      {
        metadata: policy.metadata,
        timeoutMs: 10_000,
        service: "policy",
      },
    );
    expect(limits[0]!.definition).toContain("${secret:webhook-token}");
    const { rows } = await admin.query<{ text: string }>("SELECT definition::text AS text FROM policy.limits");
    const texts = JSON.stringify([recorded(), rows, limits.map(({ definition }) => definition)]);
    for (const secret of [KEY, AUTHORIZATION]) expect(texts).not.toContain(secret);
    const created = recorded().find(({ resource, name }) => resource === "limit" && name === "money");
    const host = new URL(hookUrl()).host;
    expect(JSON.stringify(recorded())).not.toContain("/hook");
    expect(
      recorded()
        .slice(seen)
        .find(({ resource }) => resource === "limit"),
    ).toMatchObject({
      after: { budget: { webhook: { host, headers: ["Authorization"], isSigned: true } } },
    });
    expect(created).toBeDefined();
  });
});
