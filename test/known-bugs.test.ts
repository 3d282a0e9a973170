// Bugs that gateways for MCP have shipped, one test each, through the whole system.
import {
  eventually,
  fixtureServer,
  openPeer,
  type Peer,
  type PeerOptions,
  useInfrastructure,
  useSystem,
} from "@tollgate/testkit";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { capabilitiesOf, contentOf, MODERN, readList, textOf } from "./compatibility/cell.ts";
import { ANSWERS, argsFor, SERVER_PROGRAM } from "./compatibility/servers.ts";
import { startRemoteServer } from "./known-bugs/remote-server.ts";

const LEGACY = "2025-11-25";
const ITEMS_IN_PAGE_MAX = 250;
const remotes = {
  forgetful: await startRemoteServer({ tools: 2, pageSize: 2 }),
  looping: await startRemoteServer({ tools: 6, pageSize: 2, loops: true }),
  many: await startRemoteServer({ tools: 1_500, pageSize: 100 }),
};
const NESTED = {
  id: "nested",
  group: "demo",
  type: "command",
  command: "sh",
  args: ["-c", `node ${fixtureServer}; true`],
};
const SERVERS = [
  { id: "legacy", group: "demo", type: "node", command: SERVER_PROGRAM, args: argsFor(LEGACY) },
  { id: "modern", group: "demo", type: "node", command: SERVER_PROGRAM, args: argsFor(MODERN) },
  { id: "odd", group: "demo", type: "node", command: fixtureServer },
  { id: "hanging", group: "demo", type: "node", command: fixtureServer, env: { FIXTURE_START: "hang" } },
  ...Object.entries(remotes).map(([id, { url }]) => ({
    id,
    group: "far",
    type: "remote",
    url,
    transport: "streamable-http",
  })),
];

/** Processes of servers, which are gone when the system has stopped. */
const started: number[] = [];

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

// Hooks run in reverse: this one comes after those of the system.
afterAll(() => eventually(() => expect(started.filter(isAlive)).toEqual([])));
const infra = useInfrastructure();
const system = useSystem(infra, { yaml: yamlOf([...SERVERS, NESTED]) });

function yamlOf(servers: readonly object[]): string {
  return `groups: [{ id: demo, name: Demo }, { id: far, name: Far }]
mcp_servers: ${JSON.stringify(servers)}
policies:
  - { name: all, effect: allow, principals: ["*"], actions: ["tools/call", "prompts/get", "resources/read"], resources: ["*"] }
`;
}

const peers: Peer[] = [];

async function connect(path: string, options: Partial<PeerOptions> & { token?: string } = {}): Promise<Peer> {
  const { token = system.token, ...more } = options;
  const peer = await openPeer({ revision: LEGACY, to: { url: `${system.gatewayUrl}${path}`, token }, ...more });
  peers.push(peer);
  return peer;
}

/** A client that can be asked everything, and so has a connection of its own to legacy servers. */
const connectAble = (path: string, revision: PeerOptions["revision"] = LEGACY, options: { token?: string } = {}) =>
  connect(path, { ...options, revision, capabilities: capabilitiesOf(revision), answers: ANSWERS });

const call = (peer: Peer, name: string, args: object = {}, more: object = {}) =>
  peer.request("tools/call", { name, arguments: args }, more);

beforeAll(async () => {
  await eventually(
    async () => {
      const response = await fetch(`${system.gatewayUrl}/api/v1/servers`, {
        headers: { authorization: `Bearer ${system.adminToken}` },
      });
      const { items } = (await response.json()) as { items: { id: string; status: string }[] };
      const ready = items.filter(({ status }) => status === "ready").map(({ id }) => id);
      expect(ready.toSorted()).toEqual(["forgetful", "legacy", "looping", "many", "modern", "nested", "odd"]);
    },
    { timeoutMs: 30_000 },
  );
}, 60_000);

afterAll(async () => {
  await Promise.all(peers.map((peer) => peer.close().catch(() => undefined)));
  await Promise.all(Object.values(remotes).map((remote) => remote.stop()));
});

describe("eras", () => {
  test("a modern client is not silently downgraded", async () => {
    const client = await connect("/mcp/demo/modern", { revision: MODERN, info: { name: "own", version: "7" } });
    expect(client.opened.supportedVersions).toContain(MODERN);
    const { structuredContent } = (await call(client, "test_echo_meta")).result;
    expect(structuredContent.session).toMatchObject({ era: "modern", clientInfo: { name: "own", version: "7" } });
    expect(structuredContent._meta["io.modelcontextprotocol/protocolVersion"]).toBe(MODERN);
  });

  test("a client's pong is accepted", async () => {
    const client = await connect("/mcp/demo/legacy");
    expect(await client.send('{"jsonrpc":"2.0","id":77,"result":{}}')).toBe(202);
    expect(await client.send('{"jsonrpc":"2.0","id":"x","error":{"code":-1,"message":"no"}}')).toBe(202);
    expect(await client.request("ping")).toMatchObject({ result: {} });
  });
});

describe("lists", () => {
  test("nextCursor is neither dropped nor looping", async () => {
    const namesOf = async (path: string) =>
      (await readList(await connect(path), "tools/list", "tools")).map((tool: any) => tool.name as string);
    expect(await namesOf("/mcp/far/looping")).toEqual([0, 1, 2, 3, 4, 5].map((i) => `tool-${i}`));
    const many = await namesOf("/mcp/far/many");
    expect(new Set(many).size).toBe(1_500);
    const first = await (await connect("/mcp/far/many")).request("tools/list", {});
    expect(first.result.tools).toHaveLength(ITEMS_IN_PAGE_MAX);
  });

  test("structuredContent and outputSchema stay", async () => {
    const client = await connect("/mcp");
    const tools = await readList(client, "tools/list", "tools");
    expect(tools.find((tool: any) => tool.name === "legacy__test_echo_meta")).toMatchObject({
      title: "Echo",
      outputSchema: { required: ["_meta", "session", "headers"] },
      _meta: { "example.com/owner": "conformance" },
      "x-unknown": { kept: [1, 2.5, "three"] },
    });
    expect((await call(client, "legacy__test_echo_meta")).result.structuredContent.session.era).toBe("legacy");
  });

  test("listChanged is relayed to a client with a connection of its own, too", async () => {
    const [one, other] = await Promise.all([connectAble("/mcp/demo/legacy"), connect("/mcp/demo/legacy")]);
    const heard = (peer: Peer) => peer.notices("notifications/tools/list_changed").length;
    await call(one, "test_trigger_tool_change");
    await eventually(() => expect([heard(one), heard(other)].every((count) => count > 0)).toBe(true));
    expect(textOf(await call(one, "test_added_tool"))).toBe("The added tool");
    await call(one, "test_trigger_tool_change");
  });

  test("a server that is down does not delay tools/list, and is said to be missing", async () => {
    const client = await connect("/mcp");
    const since = performance.now();
    const { result } = await client.request("tools/list", {});
    expect(performance.now() - since).toBeLessThan(2_000);
    expect(result.tools.length).toBeGreaterThan(50);
    expect(result._meta["tollgate/unavailable"]).toEqual([
      expect.objectContaining({ server: "hanging", reason: expect.any(String) }),
    ]);
  });
});

describe("several servers on one route", () => {
  test("resources/read works", async () => {
    const client = await connect("/mcp");
    const resources = (await readList(client, "resources/list", "resources")) as { uri: string }[];
    const uris = resources.map(({ uri }) => uri).filter((uri) => uri.endsWith("test://static-text"));
    expect(uris.toSorted()).toEqual(["mcp+legacy+test://static-text", "mcp+modern+test://static-text"]);
    for (const uri of uris) {
      const { contents } = contentOf(await client.request("resources/read", { uri })) as any;
      expect(contents).toEqual([expect.objectContaining({ uri, text: expect.stringContaining("static text") })]);
    }
  });

  test("a completion's reference is the server's own", async () => {
    const client = await connect("/mcp");
    const ref = { type: "ref/prompt", name: "legacy__test_prompt_with_arguments" };
    const argument = { name: "arg1", value: "test" };
    const { completion } = (await client.request("completion/complete", { ref, argument })).result;
    expect(completion.values).toEqual(["test-one", "test-two"]);
  });

  test.each(["legacy", "modern"])("sampling, roots and elicitation of the %s server arrive", async (server) => {
    for (const revision of [LEGACY, MODERN] as const) {
      const client = await connectAble("/mcp", revision);
      const prompt = { prompt: "why" };
      expect(textOf(await call(client, `${server}__test_sampling`, prompt))).toBe('LLM response: sampled "why"');
      expect(textOf(await call(client, `${server}__test_list_roots`))).toContain("file:///project");
      const elicited = textOf(await call(client, `${server}__test_elicitation`, { message: "?" }));
      expect(elicited).toContain('action=accept, content={"username":"ada"');
    }
  });

  test("a subscription's update is delivered", async () => {
    for (const server of ["legacy", "modern"]) {
      const uri = `mcp+${server}+test://watched-resource`;
      const client = await connectAble("/mcp");
      await client.request("resources/subscribe", { uri });
      await eventually(async () => {
        await call(client, `${server}__test_trigger_resource_update`, { uri: "test://watched-resource" });
        expect(client.notices("notifications/resources/updated")[0]?.params.uri).toBe(uri);
      });
    }
  });
});

describe("calls at the same time", () => {
  test("progress tokens of several clients do not collide", async () => {
    const clients = await Promise.all([1, 2, 3].map(() => connect("/mcp/demo/odd")));
    await Promise.all(
      clients.map((client, i) =>
        client.request("tools/call", {
          name: "progress",
          arguments: { steps: 5 + i },
          _meta: { progressToken: "same" },
        }),
      ),
    );
    for (const [i, client] of clients.entries()) {
      const progress = client.notices("notifications/progress").map(({ params }) => params);
      const steps = Array.from({ length: 5 + i }, (_each, n) => n + 1);
      expect(progress).toEqual(steps.map((step) => ({ progressToken: "same", progress: step, total: 5 + i })));
    }
  });

  test("a cancel does not wait behind its target, and reaches the server", async () => {
    const client = await connect("/mcp/demo/legacy");
    const count = async () => Number(textOf(await call(client, "test_count_cancelled")));
    const counted = await count();
    await eventually(async () => {
      const since = performance.now();
      const id = `slow-${since}`;
      const slow = call(client, "test_cancellable", { milliseconds: 20_000 }, { id });
      setTimeout(() => void client.notify("notifications/cancelled", { requestId: id }), 200);
      expect((await slow).error.data.code).toBe("cancelled");
      expect(performance.now() - since).toBeLessThan(5_000);
      expect(await count()).toBeGreaterThan(counted);
    });
  });

  test("the same id and token in flight on two sessions do not swap answers", async () => {
    const [one, other] = await Promise.all([connect("/mcp/demo/legacy"), connect("/mcp/demo/legacy")]);
    const answers = await Promise.all([
      call(one, "test_task", { milliseconds: 300 }, { id: "same" }),
      call(other, "test_task", { milliseconds: 150 }, { id: "same" }),
    ]);
    expect(answers.map(textOf)).toEqual(["The task took 300 ms", "The task took 150 ms"]);
  });
});

describe("what belongs to somebody", () => {
  const others = () => [`${system.token}_other`, system.adminToken];

  test.each(["legacy", "modern"])(
    "a requestState of the %s server is signed, and good for its own call only",
    async (server) => {
      const client = await connectAble(`/mcp/demo/${server}`, MODERN);
      const name = "test_input_required_result_request_state";
      const { result } = await call(client, name, {}, { rounds: false });
      expect(result.resultType).toBe("input_required");
      const state: string = result.requestState;
      const [key] = Object.keys(result.inputRequests);
      const inputResponses = { [key!]: { action: "accept", content: { ok: true } } };
      const retry = (by: Peer, requestState: string, tool = name) =>
        by.request("tools/call", { name: tool, arguments: {}, inputResponses, requestState }, { rounds: false });
      const flipped = `${state.slice(0, 20)}${state[20] === "A" ? "B" : "A"}${state.slice(21)}`;
      for (const wrong of [flipped, "forged", state.slice(0, -2), `${state}A`])
        expect((await retry(client, wrong)).error.code).toBe(-32602);
      expect((await retry(client, state, "test_input_required_result_tampered_state")).error.code).toBe(-32602);
      for (const token of others())
        expect((await retry(await connectAble(`/mcp/demo/${server}`, MODERN, { token }), state)).error.code).toBe(
          -32602,
        );
      expect(textOf(await retry(client, state))).toBe("state-ok");
    },
  );

  test.each(["legacy", "modern"])(
    "a task of the %s server is found on a common route, by its owner only",
    async (server) => {
      const revision = server === "legacy" ? LEGACY : MODERN;
      const client = await connectAble("/mcp", revision);
      const task = server === "legacy" ? { task: { ttl: 60_000 } } : {};
      const params = { name: `${server}__test_task`, arguments: { milliseconds: 50 }, ...task };
      const { result } = await client.request("tools/call", params);
      const taskId: string = server === "legacy" ? result.task.taskId : result.taskId;
      for (const token of others()) {
        const stranger = await connectAble("/mcp", revision, { token });
        for (const method of ["tasks/get", "tasks/cancel"])
          expect((await stranger.request(method, { taskId })).error.code).toBe(-32602);
      }
      await eventually(async () => {
        const found = contentOf(await client.request("tasks/get", { taskId }));
        expect(found).toMatchObject({ taskId, status: "completed" });
      });
    },
  );

  test("a replay does not cross sessions", async () => {
    const client = await connect("/mcp/demo/odd");
    const params = { name: "progress", arguments: { steps: 3 }, _meta: { progressToken: "mine" } };
    await client.request("tools/call", params);
    const { eventId } = client.received.find(({ message }) => message.method === "notifications/progress")!;
    expect(eventId).toEqual(expect.any(String));
    for (const token of [system.token, ...others()]) {
      const stranger = await connect("/mcp/demo/odd", { token });
      const before = stranger.received.length;
      await stranger.listen(eventId);
      expect(await stranger.request("ping")).toMatchObject({ result: {} });
      expect(stranger.received.slice(before).filter(({ place }) => place === "standing")).toEqual([]);
    }
    const own = client.received.length;
    await client.listen(eventId);
    await eventually(() => expect(client.received.length).toBe(own + 3));
  });

  test("a session is bound to its user", async () => {
    const client = await connect("/mcp/demo/odd");
    for (const token of others())
      for (const method of ["POST", "GET", "DELETE"]) {
        const response = await fetch(`${system.gatewayUrl}/mcp/demo/odd`, {
          method,
          headers: {
            authorization: `Bearer ${token}`,
            accept: "application/json, text/event-stream",
            "content-type": "application/json",
            "mcp-session-id": client.session!,
          },
          ...(method === "POST" ? { body: '{"jsonrpc":"2.0","id":1,"method":"tools/list"}' } : {}),
        });
        expect([method, response.status]).toEqual([method, 404]);
      }
    expect(await client.request("ping")).toMatchObject({ result: {} });
  });
});

describe("upstream", () => {
  test("neither the client's session nor its token reaches a server", async () => {
    const client = await connectAble("/mcp/far/forgetful");
    expect(textOf(await call(client, "tool-1"))).toBe("called tool-1");
    const seen = JSON.stringify(remotes.forgetful.headers);
    expect(seen).toContain("upstream-1");
    expect(seen).not.toContain(client.session!);
    expect(seen).not.toContain(system.token);
    expect(seen).not.toContain("authorization");
  });

  test("a session that has expired upstream is begun anew, and the client does not notice", async () => {
    for (const client of [await connect("/mcp/far/forgetful"), await connectAble("/mcp/far/forgetful")]) {
      expect(textOf(await call(client, "tool-0"))).toBe("called tool-0");
      const begun = remotes.forgetful.begun();
      remotes.forgetful.forget();
      expect(textOf(await call(client, "tool-1"))).toBe("called tool-1");
      expect(remotes.forgetful.begun()).toBeGreaterThan(begun);
    }
  });

  test("no process of a server is left when it is taken away, those of its children included", async () => {
    const staying = JSON.parse(textOf(await call(await connect("/mcp/demo/odd"), "env")));
    started.push(staying.pid, staying.child);
    const client = await connect("/mcp/demo/nested");
    const { pid, child } = JSON.parse(textOf(await call(client, "env")));
    expect([pid, child].map(isAlive)).toEqual([true, true]);
    await system.configure(yamlOf(SERVERS));
    await eventually(() => expect([pid, child].map(isAlive)).toEqual([false, false]));
    // The others go on, until the system stops.
    expect(started.map(isAlive)).toEqual([true, true]);
  });
});
