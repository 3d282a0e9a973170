import { createEventPublisher, type EventPublisher } from "@tollgate/bus";
import type { AuditEvent } from "@tollgate/contracts";
import { callEvent, eventually, refusalEvent } from "@tollgate/testkit";
import { afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { principal } from "./controlled-policy.ts";
import { useInstallation } from "./installation.ts";
import { connectWebSocket, type SocketClient } from "./websocket-client.ts";

const installation = useInstallation();
const opened: SocketClient[] = [];
let events: EventPublisher;
const publish = async (...some: AuditEvent[]) => {
  await Promise.all(some.map((event) => events.publish(event)));
};
const idsIn = ({ messages }: SocketClient) => messages.flatMap(({ event }) => (event === undefined ? [] : [event.id]));

beforeAll(() => {
  events = createEventPublisher(installation.runner.bus, { waitingMax: 1_000, timeoutMs: 5_000 });
  const { tokens } = installation.around.policy;
  tokens.set("auditor", principal({ id: "auditor", permissions: [] }));
});
beforeEach(async () => {
  const { policy } = installation.around;
  policy.administers = ({ principal: who }) => who!.id === "auditor";
  await policy.changeTaken();
});
afterEach(() => {
  for (const each of opened.splice(0)) each.close();
});

async function tail(query = "", options: Partial<Parameters<typeof connectWebSocket>[1]> = {}) {
  const path = `/api/v1/audit/tail${query}`;
  const socket = await connectWebSocket(installation, { path, token: "auditor", protocols: [], ...options });
  opened.push(socket);
  return socket;
}

describe("a tail over WebSocket", () => {
  test("shows what comes and fits, each event a message with its id", async () => {
    const since = Date.now() - 1_000;
    const made = callEvent({ tool: "seen" });
    await publish(refusalEvent({ tool: "seen" }), made, callEvent({ tool: "other" }));
    const socket = await tail(`?kind=call&tool=seen&since=${since}`);
    await eventually(() => expect(idsIn(socket)).toEqual([made.id]));
    const later = callEvent({ tool: "seen" });
    await publish(later);
    await eventually(() => expect(idsIn(socket)).toEqual([made.id, later.id]));
    expect(socket.messages[0]).toEqual({ id: expect.stringMatching(/^\d+\.\d+$/), event: made });
  });

  test("goes on after the last event that its client has seen", async () => {
    const since = Date.now() - 1_000;
    await publish(...Array.from({ length: 20 }, () => callEvent({ tool: "resumed" })));
    const whole = await tail(`?tool=resumed&since=${since}`);
    await eventually(() => expect(idsIn(whole)).toHaveLength(20));
    for (const at of [0, 7, 18]) {
      const resumed = await tail(`?tool=resumed&after=${whole.messages[at].id}`);
      await eventually(() => expect(idsIn(resumed)).toEqual(idsIn(whole).slice(at + 1)));
    }
    const lost = await tail("?tool=resumed&after=999999999.0");
    await eventually(() => expect(lost.messages[0]).toMatchObject({ gap: { after: "999999999.0" } }));
  });

  test("takes a browser's token as a subprotocol, from pages that may call", async () => {
    const since = Date.now() - 1_000;
    const made = callEvent({ tool: "browsed" });
    await publish(made);
    const options = {
      token: undefined,
      protocols: ["bearer", "auditor"],
      headers: { origin: "http://localhost:5173" },
    };
    const socket = await tail(`?tool=browsed&since=${since}`, options);
    expect(socket.protocol).toBe("bearer");
    await eventually(() => expect(idsIn(socket)).toEqual([made.id]));
    await expect(tail("", { ...options, headers: { origin: "https://evil.example" } })).rejects.toThrow("403");
    await expect(tail("", { token: undefined, protocols: ["bearer", "forged"] })).rejects.toThrow("401 Bearer");
  });

  test.each([
    ["", { token: "token" }, "403"],
    ["", { token: undefined }, "401"],
    ["?kind=nothing", {}, "400"],
    ["?after=garbage", {}, "400"],
    ["/more", {}, "404"],
  ])("is not opened at %s for %o", async (query, options, status) => {
    await expect(tail(query, options)).rejects.toThrow(status);
  });

  test("is cut when its caller may not see it any more", async () => {
    const { policy } = installation.around;
    const socket = await tail();
    policy.administers = () => false;
    await policy.changeTaken();
    await publish(callEvent({ tool: "secret" }));
    await eventually(() => expect(socket.closed).toBe(1008));
    expect(idsIn(socket)).toEqual([]);
  });

  test("ends when its client talks", async () => {
    const socket = await tail();
    socket.send({ hello: 1 });
    await eventually(() => expect(socket.closed).toBe(1003));
  });

  test("is one of a bounded number, and gives its place back", async () => {
    for (let at = 0; at < 10; at++) await tail();
    await expect(tail()).rejects.toThrow("429");
    opened[0]!.close();
    await eventually(async () => void (await tail()));
  });

  test("ends with the gateway, to be gone on with at another", async () => {
    const { replica, close } = await installation.startReplica();
    const socket = await tail("", { replica });
    await close();
    expect(socket.closed).toBe(1001);
  });

  test("leaves the place to MCP that is MCP's", async () => {
    const client = await connectWebSocket(installation);
    opened.push(client);
    expect((await client.initialize()).result.protocolVersion).toBe("2025-11-25");
    await expect(connectWebSocket(installation, { path: "/api/v1/servers" })).rejects.toThrow("403");
    await expect(tail("", { path: "/elsewhere" })).rejects.toThrow("404");
  });
});
