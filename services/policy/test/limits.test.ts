import { limitsV1, meteringV1 } from "@tollgate/contracts";
import { callUnary, type Life, openLife, startGrpcServer, unary } from "@tollgate/service";
import { AppError } from "@tollgate/errors";
import { eventually, testLog, useInfrastructure } from "@tollgate/testkit";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { watchAs } from "./gateway.ts";
import { FILE, runPolicy, type RunningPolicy } from "./running-policy.ts";

const LIMITS = `
limits:
  - { name: rates, per: tenant, requests_per_second: 100, burst: 100 }
  - { name: places, per: [principal, tool], concurrent: 4 }
  - { name: days, per: tenant, per_day: 50 }
  - { name: money, per: team, budget: { amount: "12.50", period: month } }
`;
const RATE = "rate|rates|acme";
const PLACE = "slot|places|acme%2Fdev|files%3Aread_x";
const DAY = "day|days|acme";
const MONEY = "budget|money|acme%2Fpayments";
const GATEWAYS = ["g1", "g2", "g3"];

const infra = useInfrastructure();
let policy: RunningPolicy;
let life: Life;
let costs: readonly string[];
let meteringAsked: meteringV1.GetUsageRequest[];
let meteringAddress: string;
let lagMs: (request: meteringV1.GetUsageRequest) => number;

const options = () => ({ metadata: policy.metadata, timeoutMs: 10_000, service: "policy" });
type Lease = Partial<limitsV1.LimitLease> & { readonly key: string };

async function lease(gateway: string, ...leases: Lease[]): Promise<limitsV1.LimitGrant[]> {
  const request = limitsV1.LeaseLimitsRequest.fromPartial({ gateway, leases });
  return (await callUnary(policy.client.leaseLimits.bind(policy.client), request, options())).grants;
}
const grantOf = async (gateway: string, each: Lease) => (await lease(gateway, each))[0]!;
const put = (id: string, definition: unknown) =>
  callUnary(
    policy.client.putLimit.bind(policy.client),
    { limit: limitsV1.Limit.fromPartial({ id, definition: JSON.stringify(definition) }), actor: "tester" },
    options(),
  );
const remove = (id: string) =>
  callUnary(policy.client.deleteLimit.bind(policy.client), { id, actor: "tester" }, options());
const list = () => callUnary(policy.client.listLimits.bind(policy.client), {}, options());

async function startMetering(): Promise<string> {
  const implementation = {
    getUsage: unary(testLog, (request: meteringV1.GetUsageRequest) => {
      meteringAsked.push(request);
      if (request.groupBy.includes("server")) throw new AppError("unavailable", "too slow");
      const rows = costs.map((cost) =>
        meteringV1.UsageRow.fromPartial({ key: { tenant: "acme", team: "payments" }, cost }),
      );
      return meteringV1.GetUsageResponse.fromPartial({
        rows,
        currency: "EUR",
        asOfMs: BigInt(Date.now() - lagMs(request)),
      });
    }),
  } as Partial<meteringV1.MeteringServiceServer> as meteringV1.MeteringServiceServer;
  const services = [{ definition: meteringV1.MeteringServiceService, implementation }];
  const { serviceKey } = infra;
  return `127.0.0.1:${(await startGrpcServer({ host: "127.0.0.1", port: 0, serviceKey, services, life })).port}`;
}

beforeEach(async () => {
  life = openLife(testLog);
  costs = ["3.25", "4"];
  meteringAsked = [];
  lagMs = () => 0;
  meteringAddress = await startMetering();
  policy = await runPolicy(infra, { text: FILE + LIMITS, meteringAddress });
});
afterEach(async () => {
  await policy.close();
  await life.close();
});

const restart = async (limits = LIMITS): Promise<void> => {
  await policy.close();
  policy = await runPolicy(infra, { text: FILE + limits, meteringAddress });
};

describe("decisions", () => {
  test("name what a call counts against; denials and lists name nothing", async () => {
    const { principal } = await policy.authenticate("dev-secret-0123456789");
    const decide = async (action: string, tool: string) =>
      (await policy.decide({ principal, action, resources: [{ group: "disk", server: "files", tool }] })).decisions[0]!;
    expect(await decide("tools/call", "read_x")).toMatchObject({ allow: true, limits: [DAY, MONEY, PLACE, RATE] });
    expect((await decide("tools/call", "write_x")).limits).toEqual([]);
    expect((await decide("tools/list", "read_x")).limits).toEqual([]);
  });
});

describe("three gateways", () => {
  test("get no more of a rate than there is, and what there is", async () => {
    await eventually(async () => expect((await grantOf("g1", { key: RATE, wanted: 1, waiting: 1 })).granted).toBe(1));
    const beganAt = performance.now();
    let granted = 0;
    while (performance.now() - beganAt < 1_500) {
      const grants = await Promise.all(GATEWAYS.map((each) => grantOf(each, { key: RATE, wanted: 40, waiting: 20 })));
      granted += grants.reduce((sum, grant) => sum + grant.granted, 0);
    }
    const seconds = (performance.now() - beganAt) / 1_000;
    expect(granted).toBeLessThanOrEqual(100 + 100 * seconds);
    expect(granted).toBeGreaterThanOrEqual(0.8 * 100 * seconds);
  });

  test("share a day's calls, to the last one, over a restart, and what is returned is given again", async () => {
    const first = await grantOf("g1", { key: DAY, wanted: 30, waiting: 1 });
    expect(first).toMatchObject({ granted: 5, retryAfterMs: 0 });
    await restart();
    let granted = first.granted;
    for (let turn = 0; turn < 100; turn++)
      granted += (await grantOf(GATEWAYS[turn % 3]!, { key: DAY, wanted: 20, waiting: 1 })).granted;
    expect(granted).toBe(50);
    const over = await grantOf("g2", { key: DAY, wanted: 1, waiting: 1 });
    expect(over.reason).toMatch(
      /the limit "days" is reached: 50 calls a day for each tenant; it begins anew at .*T00:00:00.000Z$/,
    );
    const midnight = new Date().setUTCHours(24, 0, 0, 0) - Date.now();
    expect(Math.abs(over.retryAfterMs - midnight)).toBeLessThan(5_000);
    await lease("g1", { key: DAY, returned: 3 });
    expect(await grantOf("g3", { key: DAY, wanted: 9, waiting: 9 })).toMatchObject({ granted: 3 });
  });

  test("ask at the same moment, and get no more together than a day has", async () => {
    const asked = Array.from({ length: 30 }, (_each, n) =>
      grantOf(GATEWAYS[n % 3]!, { key: "day|days|rival", wanted: 4, waiting: 4 }),
    );
    expect((await Promise.all(asked)).reduce((sum, { granted }) => sum + granted, 0)).toBe(50);
  });

  test("share places; those of a gateway that is silent come back", async () => {
    const wanting = { key: PLACE, wanted: 3, waiting: 3 };
    // Policy has just begun: it waits until it has heard of what gateways hold.
    const early = await grantOf("g1", wanting);
    expect(early).toMatchObject({ granted: 0, reason: expect.stringContaining("4 calls at a time") });
    await eventually(async () => expect((await grantOf("g1", wanting)).granted).toBe(3));
    expect((await grantOf("g2", wanting)).granted).toBe(1);
    const renew = () => grantOf("g2", { key: PLACE, held: 1 });
    await eventually(async () => {
      await renew();
      expect((await grantOf("g3", wanting)).granted).toBeGreaterThan(0);
    });
  });
});

describe("budgets", () => {
  test("are what metering says was spent; beyond them nothing is let in until they begin anew", async () => {
    await eventually(async () => expect((await grantOf("g1", { key: MONEY, wanted: 7, waiting: 2 })).granted).toBe(7));
    expect(meteringAsked.at(-1)).toMatchObject({ tenant: "", groupBy: ["team", "tenant"] });
    expect(new Date(Number(meteringAsked.at(-1)!.fromMs)).toISOString()).toMatch(/-01T00:00:00.000Z$/);
    expect((await grantOf("g1", { key: "budget|money|rival%2Fx", wanted: 1, waiting: 1 })).granted).toBe(1);
    costs = ["12.499999", "0.000001"];
    // What it had counted when it was asked before stays counted.
    lagMs = () => 3_600_000;
    await eventually(
      async () => {
        const refused = await grantOf("g1", { key: MONEY, wanted: 1, waiting: 1 });
        expect(refused).toMatchObject({
          granted: 0,
          reason: expect.stringMatching(/12.50 a month for each team; it begins/),
        });
        expect(refused.retryAfterMs).toBeGreaterThan(1_000);
      },
      { timeoutMs: 15_000 },
    );
  });

  test("that nobody knows of refuse", async () => {
    meteringAddress = "";
    await restart();
    expect(await grantOf("g1", { key: MONEY, wanted: 1, waiting: 1 })).toMatchObject({
      granted: 0,
      reason: expect.stringMatching(/"money" cannot be held to: what was spent is not known/),
    });
  });
});

describe("budgets that metering lags behind with, or does not answer for,", () => {
  test("refuse, and keep no other one from being known", async () => {
    lagMs = ({ groupBy }) => (groupBy.includes("team") ? 61_000 : 59_000);
    const budget = `budget: { amount: "12.50", period: month }`;
    const scopes = { a: "server", b: "team", c: "tenant" };
    const limits = Object.entries(scopes).map(([name, per]) => `  - { name: ${name}, per: ${per}, ${budget} }\n`);
    await restart(`limits:\n${limits.join("")}`);
    const granted = async (key: string) => (await grantOf("g1", { key, wanted: 1, waiting: 1 })).granted;
    // They are read in this order.
    await eventually(async () => expect(await granted("budget|c|acme")).toBe(1));
    for (const key of ["budget|a|files", "budget|b|acme%2Fpayments"])
      expect(await grantOf("g1", { key, wanted: 1, waiting: 1 })).toMatchObject({
        granted: 0,
        reason: expect.stringContaining("what was spent is not known"),
      });
  });
});

describe("limits through the API", () => {
  test("are put, listed, replaced and removed; each change is a revision that gateways take first", async () => {
    const gateway = watchAs(policy, "g1");
    await eventually(() => expect(gateway.messages.length).toBeGreaterThan(0));
    const made = await put("burst", { per: "team", requests_per_second: 2, match: { risk: "HIGH" } });
    expect(JSON.parse(made.limit!.definition)).toEqual({
      description: "",
      per: ["team"],
      match: { risk: ["HIGH"] },
      requests_per_second: 2,
      burst: 2,
    });
    expect(made.limit).toMatchObject({ id: "burst", source: "api", updatedBy: "tester" });
    expect(gateway.revision()).toBe(made.revision);
    // What was listed can be put, and changes nothing.
    expect((await put("burst", JSON.parse(made.limit!.definition))).revision).toBe(made.revision);
    expect((await list()).limits.map(({ id, source }) => [id, source])).toEqual([
      ["burst", "api"],
      ["days", "file"],
      ["money", "file"],
      ["places", "file"],
      ["rates", "file"],
    ]);
    expect((await remove("burst")).revision).toBe(made.revision + 1n);
    expect((await list()).limits.length).toBe(4);
    gateway.leave();
  });

  test("are refused with the places of the mistakes, and without values", async () => {
    await expect(put("bad", { per: "secret", concurrent: 0 })).rejects.toMatchObject({
      code: "invalid_argument",
      message: expect.not.stringContaining("secret"),
      details: { errors: [{ path: "per.0" }, { path: "concurrent" }] },
    });
    await expect(put("Bad Name", { per: "team", concurrent: 1 })).rejects.toMatchObject({ code: "invalid_argument" });
    await expect(put("default-for-risk", { per: "team", concurrent: 1 })).rejects.toMatchObject({
      code: "invalid_argument",
    });
    await expect(put("bad", [1])).rejects.toMatchObject({ code: "invalid_argument" });
    await expect(remove("nothing")).rejects.toMatchObject({ code: "not_found" });
  });

  test("a smaller number of a day holds from the next permit on", async () => {
    await put("small", { per: "tenant", per_day: 40 });
    const key = "day|small|acme";
    expect((await grantOf("g1", { key, wanted: 20, waiting: 20 })).granted).toBe(20);
    await put("small", { per: "tenant", per_day: 20 });
    expect((await grantOf("g1", { key, wanted: 5, waiting: 5 })).granted).toBe(0);
    await put("small", { per: "tenant", per_day: 22 });
    expect((await grantOf("g1", { key, wanted: 5, waiting: 5 })).granted).toBe(2);
  });
});

test("the file's limits follow the file", async () => {
  await policy.writeFile(`${FILE}\nlimits: [{ name: days, per: tenant, per_day: 7 }]\n`);
  await eventually(async () => {
    const { limits } = await list();
    expect(limits.filter(({ source }) => source === "file").map(({ id }) => id)).toEqual(["days"]);
    expect(JSON.parse(limits[0]!.definition)).toMatchObject({ per_day: 7 });
  });
});

test.each<[string, Lease[], object]>([
  ["", [], { code: "invalid_argument" }],
  ["g".repeat(201), [], { code: "invalid_argument" }],
  ["g", [{ key: "k".repeat(1_001) }], { code: "invalid_argument" }],
  ["g", [{ key: RATE, wanted: 10_001 }], { code: "invalid_argument" }],
  ["g", [{ key: RATE, wanted: 1, waiting: 2 }], { code: "invalid_argument" }],
  ["g", [{ key: DAY, returned: 10_001 }], { code: "invalid_argument" }],
  ["g", Array.from({ length: 1_001 }, () => ({ key: RATE })), { code: "invalid_argument" }],
])("%j cannot lease %#", async (gateway, leases, error) => {
  await expect(lease(gateway, ...leases)).rejects.toMatchObject(error);
});

test("a key of no limit gets nothing", async () => {
  for (const key of ["", "rate|gone|acme", "slot|rates|acme", "a|b|c"])
    expect(await grantOf("g", { key, wanted: 1, waiting: 1 })).toMatchObject({ granted: 0 });
});
