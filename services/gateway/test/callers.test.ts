import { eventually, postMcp } from "@tollgate/testkit";
import { beforeEach, describe, expect, test } from "vitest";
import { principal } from "./controlled-policy.ts";
import { useInstallation } from "./installation.ts";
import { beginSession, cutStreamsAfterEach, postModern, readEvents } from "./mcp-connections.ts";
import { refusalsOn } from "./running-gateway.ts";
import { connectWebSocket } from "./websocket-client.ts";

/** The first trusts no proxy, the second the one on this machine. */
const installation = useInstallation();
cutStreamsAfterEach();
let proxied = 0;

beforeEach(async () => {
  installation.around.policy.more = {};
  if (proxied === 0) proxied = (await installation.startReplica({ trustedProxies: "127.0.0.0/8" as never })).replica;
});

const call = (options: { replica?: number; token?: string; forwarded?: string } = {}) =>
  postModern(
    installation.url("/mcp", options.replica),
    "tools/call",
    { name: "one__echo" },
    {
      ...(options.token === undefined ? {} : { token: options.token }),
      headers: options.forwarded === undefined ? {} : { "x-forwarded-for": options.forwarded },
    },
  );
const META = {
  _meta: { "io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {} },
};
const lastAddress = () => installation.around.policy.decided.at(-1)!.address;
const refusals = (reason: RegExp) =>
  eventually(async () => {
    const found = (await refusalsOn(installation.runner)).filter((each) => reason.test(each.reason));
    expect(found).not.toEqual([]);
    return found;
  });

describe("the client's address", () => {
  test("is the peer's, whatever a peer that is not trusted says", async () => {
    const { policy } = installation.around;
    policy.change();
    expect((await call({ forwarded: "203.0.113.9" })).status).toBe(200);
    expect(lastAddress()).toBe("127.0.0.1");
    expect(installation.runner.calls.at(-1)!.envelope.facts.address).toBe("127.0.0.1");
  });

  test("is what a trusted proxy says, and not what stands left of it", async () => {
    installation.around.policy.change();
    await call({ replica: proxied, forwarded: "10.0.0.1, 203.0.113.9" });
    expect(lastAddress()).toBe("203.0.113.9");
    expect(installation.runner.calls.at(-1)!.envelope.facts.address).toBe("203.0.113.9");
  });

  test("is the same rule over WebSocket", async () => {
    installation.around.policy.change();
    for (const [replica, address] of [
      [0, "127.0.0.1"],
      [proxied, "203.0.113.9"],
    ] as const) {
      const client = await connectWebSocket(installation, { replica, headers: { "x-forwarded-for": "203.0.113.9" } });
      await client.initialize();
      await client.request("tools/call", { name: "one__echo" });
      expect(installation.runner.calls.at(-1)!.envelope.facts.address).toBe(address);
      client.close();
    }
  });

  test("is in the record of what was denied", async () => {
    installation.around.policy.allow = () => false;
    installation.around.policy.change();
    await call({ replica: proxied, forwarded: "203.0.113.77" });
    await eventually(async () =>
      expect(await refusalsOn(installation.runner)).toContainEqual(
        expect.objectContaining({ code: "denied", address: "203.0.113.77" }),
      ),
    );
  });
});

describe("a failed authentication", () => {
  const forged = (path: string, method = "POST") =>
    fetch(installation.url(path), { method, headers: { authorization: "Bearer forged-secret" }, ...body(method) });
  const body = (method: string) =>
    method === "POST"
      ? { body: "{}", headers: { authorization: "Bearer forged-secret", "content-type": "application/json" } }
      : {};

  test("is an event on every way in, without the secret", async () => {
    const before = (await refusalsOn(installation.runner)).length;
    expect((await forged("/mcp")).status).toBe(401);
    expect((await forged("/mcp/sse", "GET")).status).toBe(401);
    expect((await forged("/api/v1/servers", "GET")).status).toBe(401);
    await expect(connectWebSocket(installation, { token: "forged-secret" })).rejects.toThrow("401");
    const found = await eventually(async () => {
      const all = (await refusalsOn(installation.runner)).slice(before);
      expect(all).toHaveLength(4);
      return all;
    });
    expect(new Set(found.map(({ transport }) => transport))).toEqual(new Set(["http", "sse", "api", "websocket"]));
    for (const each of found)
      expect(each).toMatchObject({ code: "unauthenticated", tenant: "unknown", address: "127.0.0.1", count: 1 });
    expect(JSON.stringify(found)).not.toContain("forged-secret");
  });

  test("of somebody who was let in before says who it was", async () => {
    const { policy } = installation.around;
    policy.tokens.set("leaving", principal({ id: "agent:leaver", credential: "leaver-1" }));
    const client = await connectWebSocket(installation, { token: "leaving" });
    await client.initialize();
    policy.tokens.delete("leaving");
    policy.change();
    await eventually(() => expect(client.closed).toBe(4401));
    const [event] = await refusals(/not known/).then((all) => all.filter((each) => each.principal === "agent:leaver"));
    expect(event).toMatchObject({ tenant: "acme", credential: "leaver-1", transport: "websocket" });
  });

  test("ends a WebSocket whose token has expired, although nothing has changed", async () => {
    const { policy } = installation.around;
    await policy.changeTaken();
    policy.expiresAtMs = Date.now() + 1_000;
    const client = await connectWebSocket(installation, { token: "colleague-token" });
    expect((await client.request("server/discover", META)).result).toBeDefined();
    await eventually(() => expect(Date.now()).toBeGreaterThan(policy.expiresAtMs));
    policy.expiresAtMs = 0;
    policy.tokens.delete("colleague-token");
    expect((await client.request("server/discover", META)).error.data.code).toBe("unauthenticated");
    await eventually(() => expect(client.closed).toBe(4401));
  });

  test("of whoever has sent nothing is an event, and not slowed", async () => {
    const { replica } = await installation.startReplica();
    const url = installation.url("/mcp", replica);
    const statuses = await Promise.all(
      Array.from({ length: 60 }, async () => (await postMcp({ url, token: undefined }, "{}")).status),
    );
    expect(new Set(statuses)).toEqual(new Set([401]));
    await refusals(/no token was sent/);
  });

  test("a flood is refused in the end, and a good token beside it is not", async () => {
    const { replica } = await installation.startReplica();
    const url = installation.url("/mcp", replica);
    const giveUp = new AbortController();
    let refused = 0;
    const flood = Array.from({ length: 60 }, () =>
      postMcp({ url, token: "forged" }, "{}", { signal: giveUp.signal }).then(
        ({ status, headers }) => {
          if (status === 429 && headers.get("retry-after") === "60") refused += 1;
        },
        () => undefined,
      ),
    );
    await eventually(() => expect(refused).toBeGreaterThanOrEqual(10));
    expect((await call({ replica })).status).toBe(200);
    giveUp.abort();
    await Promise.all(flood);
  });
});

describe("where only a stronger sign-in is missing", () => {
  const STEP_UP = { acrValues: ["urn:example:mfa", "phr"], maxAge: 300 };
  beforeEach(() => {
    const { policy } = installation.around;
    policy.allow = () => false;
    policy.more = { stepUp: STEP_UP };
    policy.change();
  });

  test("HTTP says so with 401 and a challenge, and JSON-RPC with its data", async () => {
    for (const { status, headers, last } of [
      await call(),
      await (await beginSession(installation)).request("tools/call", { name: "one__echo" }),
    ]) {
      expect(status).toBe(401);
      expect(headers.get("www-authenticate")).toBe(
        'Bearer error="insufficient_user_authentication", error_description="a stronger or newer sign-in is needed", acr_values="urn:example:mfa phr", max_age="300"',
      );
      expect(last.error).toMatchObject({ code: -32003, data: { code: "permission_denied", stepUp: STEP_UP } });
    }
  });

  test("WebSocket and HTTP+SSE say so with the error alone", async () => {
    const socket = await connectWebSocket(installation);
    await socket.initialize();
    expect((await socket.request("tools/call", { name: "one__echo" })).error.data.stepUp).toEqual(STEP_UP);
    socket.close();
    const reader = await readEvents(installation.url("/mcp/sse"));
    const endpoint = await eventually(() => (expect(reader.events).toHaveLength(1), reader.events[0]!.data));
    const post = (frame: object) =>
      postMcp({ url: installation.url(endpoint), token: "token" }, JSON.stringify({ jsonrpc: "2.0", ...frame }));
    const params = { protocolVersion: "2024-11-05", capabilities: {}, clientInfo: { name: "t", version: "1" } };
    await post({ id: 1, method: "initialize", params });
    await eventually(() => expect(reader.messages).toHaveLength(1));
    expect((await post({ id: 2, method: "tools/call", params: { name: "one__echo" } })).status).toBe(202);
    await eventually(() =>
      expect(reader.messages.at(-1)).toMatchObject({ id: 2, error: { data: { stepUp: STEP_UP } } }),
    );
  });

  test("the management API says so as well", async () => {
    installation.around.policy.administers = () => false;
    const response = await fetch(installation.url("/api/v1/servers"), { headers: { authorization: "Bearer token" } });
    expect(response.status).toBe(401);
    expect(response.headers.get("www-authenticate")).toContain('error="insufficient_user_authentication"');
    expect(await response.json()).toMatchObject({ stepUp: STEP_UP });
  });
});

test("policy is told which credentials were used", async () => {
  const { policy } = installation.around;
  policy.tokens.set("in-use", principal({ id: "agent:worker", credential: "worker-1" }));
  await call({ token: "in-use" });
  await eventually(() =>
    expect(policy.used).toContainEqual(expect.objectContaining({ tenant: "acme", credential: "worker-1" })),
  );
  // Once remembered, it is told all the same.
  policy.used.length = 0;
  await eventually(async () => {
    await call({ token: "in-use" });
    expect(policy.used).not.toEqual([]);
  });
});
