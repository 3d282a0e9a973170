import { policyV1 } from "@tollgate/contracts";
import { type Life, openGrpcClient, openLife, serviceMetadata } from "@tollgate/service";
import { eventually, testLog } from "@tollgate/testkit";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { openPolicy, type Policy } from "../src/clients/policy.ts";
import type { Subject } from "../src/domain/targets.ts";
import { type ControlledPolicy, principal, startPolicy } from "./controlled-policy.ts";

const SERVICE_KEY = "service-key-of-the-test";
const UNAVAILABLE = { code: "unavailable", retryable: true };

let serverLife: Life;
let life: Life;
let server: ControlledPolicy;
let policy: Policy;

beforeEach(async () => {
  serverLife = openLife(testLog);
  life = openLife(testLog);
  server = await startPolicy({ serviceKey: SERVICE_KEY, life: serverLife });
});
afterEach(async () => {
  await life.close();
  await serverLife.close();
});

function open(): void {
  const client = openGrpcClient(policyV1.PolicyServiceClient, { address: server.address, name: "policy", life });
  const metadata = serviceMetadata(SERVICE_KEY);
  policy = openPolicy({ client, metadata, gateway: "g-test", signal: life.signal, log: testLog });
}

const leased = () => eventually(() => expect(policy.problem()).toBeUndefined());
const notLeased = () => eventually(() => expect(policy.problem()).toBe("policy is not heard from"));

const tool = (name: string, of = "fixture"): Subject => ({
  group: "demo",
  server: of,
  name,
  sandboxed: false,
  environment: "",
  risk: "LOW",
});
const authenticate = async (token = "token") => policy.authenticate({ token, certificate: undefined });
const asker = (whose = principal()) => ({ principal: whose, address: "127.0.0.1" });
const rule = async (tools = [tool("echo")], whose = principal()) => policy.decide(asker(whose), "tools/call", tools);
const decide = async (...args: Parameters<typeof rule>) => (await rule(...args)).map(({ decision }) => decision);

describe("within the lease", () => {
  beforeEach(async () => {
    open();
    await leased();
  });

  test("answers are remembered", async () => {
    for (let i = 0; i < 5; i++) {
      expect(await authenticate()).toMatchObject({ id: "dev", tenant: "acme" });
      expect(await decide()).toEqual([{ allow: true, policies: ["all"], revision: 1, reason: "allowed" }]);
    }
    expect(server.asked).toEqual({ authenticate: 1, decide: 1 });
    // What is remembered is there at once.
    expect(policy.authenticate({ token: "token", certificate: undefined })).not.toBeInstanceOf(Promise);
    expect(policy.decide(asker(), "tools/call", [tool("echo")])).not.toBeInstanceOf(Promise);
  });

  test("each token, principal, tenant, server and tool has an answer of its own", async () => {
    server.tokens.set("other", principal({ id: "other" }));
    expect([(await authenticate()).id, (await authenticate("other")).id]).toEqual(["dev", "other"]);
    server.allow = ({ principal: whose }, resource) =>
      whose?.tenant === "acme" && whose.id === "dev" && resource.server === "fixture" && resource.tool === "echo";
    const allowed = async (...args: Parameters<typeof decide>) => (await decide(...args)).map(({ allow }) => allow);
    expect(await allowed()).toEqual([true]);
    expect(await allowed([tool("echo")], principal({ tenant: "rival" }))).toEqual([false]);
    expect(await allowed([tool("echo")], principal({ id: "other" }))).toEqual([false]);
    expect(await allowed([tool("echo", "second"), tool("echo"), tool("fail")])).toEqual([false, true, false]);
  });

  test("a server that moves to another group, or into a sandbox, is asked about again", async () => {
    server.allow = (_request, { group, sandboxed }) => group === "demo" && sandboxed;
    const echo = { ...tool("echo"), sandboxed: true };
    const allowed = async (subject: Subject) => (await decide([subject]))[0]!.allow;
    expect(await allowed(echo)).toBe(true);
    expect(await allowed({ ...echo, sandboxed: false })).toBe(false);
    expect(await allowed({ ...echo, group: "office" })).toBe(false);
    expect(await allowed(echo)).toBe(true);
    expect(server.asked.decide).toBe(3);
  });

  test("a token that is not known is refused, and asked about again", async () => {
    await expect(authenticate("forged")).rejects.toMatchObject({ code: "unauthenticated" });
    server.tokens.set("forged", principal({ id: "no longer forged" }));
    expect(await authenticate("forged")).toMatchObject({ id: "no longer forged" });
  });

  test("a token is not remembered longer than it is valid", async () => {
    server.expiresAtMs = Date.now() - 1;
    await authenticate();
    await authenticate();
    expect(server.asked.authenticate).toBe(2);
  });

  test("a long list is asked about in parts, and answered in its order", async () => {
    server.allow = (_request, resource) => Number(resource.tool) % 3 === 0;
    const tools = Array.from({ length: 4_500 }, (_each, i) => tool(String(i)));
    const expected = tools.map((_each, i) => i % 3 === 0);
    expect((await decide(tools)).map(({ allow }) => allow)).toEqual(expected);
    expect(server.asked.decide).toBe(9);
    // With others between those that are known, only these are asked about.
    const more = [tool("3000000"), ...tools.slice(0, 2_000), tool("1000000"), ...tools.slice(2_000)];
    const rulings = [true, ...expected.slice(0, 2_000), false, ...expected.slice(2_000)];
    expect((await decide(more)).map(({ allow }) => allow)).toEqual(rulings);
    expect(server.asked.decide).toBe(10);
    expect(server.decided.at(-1)!.resources.map((each) => each.tool)).toEqual(["3000000", "1000000"]);
    expect(await decide([])).toEqual([]);
  });
});

describe("a new revision", () => {
  beforeEach(async () => {
    open();
    await leased();
  });

  test("is acknowledged only after what was remembered is dropped", async () => {
    await authenticate();
    await decide();
    let taken = 0;
    let answers: Promise<PromiseSettledResult<unknown>[]> | undefined;
    server.onTaken = (revision) => {
      if (revision !== 2n) return;
      // At this moment policy tells whoever made the change that it holds.
      server.onTaken = () => undefined;
      answers = Promise.allSettled([authenticate(), decide()]);
      taken = policy.revision;
    };
    server.tokens.delete("token");
    server.allow = () => false;
    server.change();
    await eventually(() => expect(taken).toBe(2));
    expect(await answers).toMatchObject([
      { status: "rejected", reason: { code: "unauthenticated" } },
      { status: "fulfilled", value: [{ allow: false, revision: 2 }] },
    ]);
  });

  test("that this gateway has not taken yet does not decide", async () => {
    server.answersRevision = 2n;
    await expect(authenticate()).rejects.toMatchObject(UNAVAILABLE);
    await expect(decide()).rejects.toMatchObject(UNAVAILABLE);
    expect(server.asked).toEqual({ authenticate: 3, decide: 3 });
    // The stream's message comes a moment later: then it does.
    const asking = decide();
    server.change();
    expect(await asking).toMatchObject([{ revision: 2 }]);
  });

  test("that is older than the one taken does not decide either", async () => {
    server.change();
    await eventually(() => expect(policy.revision).toBe(2));
    server.answersRevision = 1n;
    await expect(decide()).rejects.toMatchObject(UNAVAILABLE);
  });
});

describe("without a lease", () => {
  test("nothing is let in, whatever policy answers, until there is one", async () => {
    server.renewing = false;
    open();
    expect(policy.problem()).toBe("policy is not heard from");
    await expect(authenticate()).rejects.toMatchObject(UNAVAILABLE);
    await expect(decide()).rejects.toMatchObject(UNAVAILABLE);
    expect(server.asked).toEqual({ authenticate: 0, decide: 0 });
    server.renewing = true;
    await leased();
    expect(await authenticate()).toMatchObject({ id: "dev" });
  });

  test("a request waits a moment for the lease to come back", async () => {
    server.renewing = false;
    open();
    const waiting = authenticate();
    expect(server.asked.authenticate).toBe(0);
    server.renewing = true;
    expect(await waiting).toMatchObject({ id: "dev" });
  });

  test("what was remembered is not used when renewals stop coming", async () => {
    server.leaseMs = 400;
    open();
    await leased();
    await authenticate();
    await decide();
    const stoppedAt = performance.now();
    server.renewing = false;
    await notLeased();
    expect(performance.now() - stoppedAt).toBeLessThan(400 + 300);
    await expect(authenticate()).rejects.toMatchObject(UNAVAILABLE);
    await expect(decide()).rejects.toMatchObject(UNAVAILABLE);
  });

  test("it counts from the request: an answer that was as long on its way as the lease brings none", async () => {
    server.leaseMs = 100;
    server.renewDelayMs = 150;
    open();
    await eventually(() => expect(policy.revision).toBe(1));
    expect(policy.problem()).toBe("policy is not heard from");
    await expect(authenticate()).rejects.toMatchObject(UNAVAILABLE);
  });

  test("a renewal that answers no request, or one that was answered before, prolongs nothing", async () => {
    for (const echo of [1n, 0n, 999_999n]) {
      open();
      await leased();
      server.echo = echo;
      await notLeased();
      expect(policy.revision).toBe(1);
      server.echo = undefined;
      await leased();
      await life.close();
      life = openLife(testLog);
    }
  });

  test("a lost policy: refused within the lease, and let in again when it is back", async () => {
    open();
    await leased();
    await authenticate();
    const lostAt = performance.now();
    const port = Number(server.address.split(":")[1]);
    await serverLife.close();
    await notLeased();
    expect(performance.now() - lostAt).toBeLessThan(1_000 + 600);
    await expect(authenticate()).rejects.toMatchObject({ code: "unavailable" });
    await expect(decide()).rejects.toMatchObject({ code: "unavailable" });

    serverLife = openLife(testLog);
    server = await startPolicy({ serviceKey: SERVICE_KEY, life: serverLife, port });
    await leased();
    expect(await authenticate()).toMatchObject({ id: "dev" });
  });

  test("a stream that ends is opened again, and keeps what is still of its revision", async () => {
    open();
    await leased();
    await authenticate();
    server.cut();
    await eventually(() => expect(server.taken.filter((revision) => revision === 0n)).toHaveLength(2));
    await leased();
    await authenticate();
    expect(server.asked.authenticate).toBe(1);
  });
});
