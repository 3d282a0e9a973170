import { eventually, legacyClient, modernClient, postMcp } from "@tollgate/testkit";
import { beforeEach, describe, expect, test } from "vitest";
import { principal } from "./controlled-policy.ts";
import { useInstallation } from "./installation.ts";
import { beginSession, cutStreamsAfterEach } from "./mcp-connections.ts";
import { manyServers } from "./sample-catalogue.ts";
import { connectWebSocket } from "./websocket-client.ts";

const installation = useInstallation();
cutStreamsAfterEach();

const SHOP = { id: "shop", tools: ["one:safe", "two:*"], repositories: ["github.com/acme/shop"] };
const ACME = { id: "acme", tools: ["group:plain"], repositories: ["github.com/acme/*"] };
const clientAt = (path: string, token = "token") => modernClient({ url: installation.url(path), token });
const repository = (name: string) => `/mcp/sets/~${encodeURIComponent(name)}`;

async function namesAt(path: string, list = "tools"): Promise<string[]> {
  const { last } = await clientAt(path).request(`${list}/list`);
  return (last.result[list] as { name: string; uri?: string }[]).map((each) => each.uri ?? each.name);
}

beforeEach(async () => {
  installation.around.setServers(manyServers());
  installation.around.setToolSets([SHOP, ACME]);
  await eventually(async () => expect(await namesAt("/mcp/sets/shop")).toEqual(["one__safe", "two__echo"]));
});

describe("the route of a tool set", () => {
  test("shows its tools, and prompts and resources of servers that are in it as a whole", async () => {
    expect(await namesAt("/mcp/sets/shop", "prompts")).toEqual(["two__greet"]);
    expect(await namesAt("/mcp/sets/shop", "resources")).toEqual(["mcp+two+file:///a"]);
    expect(await namesAt("/mcp/sets/acme")).toEqual(["plain__echo"]);
    const { last } = await clientAt("/mcp/sets/acme").request("prompts/list");
    expect(last.error.code).toBe(-32_601);
  });

  test("admits its tools, to every transport; what is outside is as unknown as what is nowhere", async () => {
    const client = clientAt("/mcp/sets/shop");
    const answered = await client.request("tools/call", { name: "two__echo", arguments: {} });
    expect(answered.last.result).toBeDefined();
    const calls = installation.runner.calls.length;
    for (const [method, params, message] of [
      ["tools/call", { name: "one__echo", arguments: {} }, "unknown tool: one__echo"],
      ["tools/call", { name: "plain__echo", arguments: {} }, "unknown tool: plain__echo"],
      ["tools/call", { name: "nowhere__echo", arguments: {} }, "unknown tool: nowhere__echo"],
      ["prompts/get", { name: "one__greet" }, "unknown prompt: one__greet"],
    ] as const)
      expect((await client.request(method, params)).last.error).toMatchObject({ message });
    expect(installation.runner.calls).toHaveLength(calls);

    const legacy = await legacyClient({ url: installation.url("/mcp/sets/shop"), token: "token" });
    expect((await legacy.request("tools/list")).last.result.tools).toHaveLength(2);
    const read = await legacy.request("resources/read", { uri: "mcp+one+file:///a" });
    expect(read.last.error).toMatchObject({ message: "unknown resource: mcp+one+file:///a" });
    const socket = await connectWebSocket(installation, { path: "/mcp/sets/shop/ws" });
    await socket.initialize();
    const listed = await socket.request("tools/list");
    expect(listed.result.tools.map(({ name }: { name: string }) => name)).toEqual(["one__safe", "two__echo"]);
    socket.close();
  });

  test("that is not there is a 404 that names those that are", async () => {
    const answer = await postMcp({ url: installation.url("/mcp/sets/none"), token: "token" }, "{}");
    expect(answer.status).toBe(404);
    expect(answer.last.error.message).toBe('there is no tool set "none"; there are: shop, acme');
    await expect(connectWebSocket(installation, { path: "/mcp/sets/none/ws" })).rejects.toThrow("404");
  });

  test("is not for a token that is meant for a group", async () => {
    installation.around.policy.tokens.set("group-token", principal({ permissions: ["mcp:demo"] }));
    const answer = await postMcp({ url: installation.url("/mcp/sets/shop"), token: "group-token" }, "{}");
    expect(answer.status).toBe(401);
  });
});

describe("the route of a repository", () => {
  test("leads to the set that is for it: itself, else the pattern that says most, else everything", async () => {
    expect(await namesAt(repository("github.com/acme/shop"))).toEqual(["one__safe", "two__echo"]);
    expect(await namesAt(repository("github.com/acme/web"))).toEqual(["plain__echo"]);
    expect(await namesAt(repository("github.com/stranger/shop"))).toEqual(await namesAt("/mcp"));
    const socket = await connectWebSocket(installation, { path: `${repository("github.com/acme/web")}/ws` });
    await socket.initialize();
    expect((await socket.request("tools/list")).result.tools).toHaveLength(1);
    socket.close();
  });
});

describe("a set that changes", () => {
  test("shows and admits at once what it says now, and its clients are told", async () => {
    const session = await beginSession(installation, { path: "/mcp/sets/shop" });
    const stream = await session.listen();
    const ofRepository = await (await beginSession(installation, { path: repository("github.com/acme/web") })).listen();
    const elsewhere = await (await beginSession(installation, { path: "/mcp" })).listen();
    const told = (reader: typeof stream) => reader.messages.filter(({ method }) => method?.endsWith("list_changed"));
    await eventually(() => {
      installation.around.setToolSets([{ ...SHOP, tools: ["one:echo", `one:${Date.now()}`] }, ACME]);
      expect(told(stream).map(({ method }) => method)).toContain("notifications/tools/list_changed");
    });
    expect(await namesAt("/mcp/sets/shop")).toEqual(["one__echo"]);
    expect((await session.request("tools/call", { name: "two__echo" })).last.error).toBeDefined();
    installation.around.setToolSets([{ ...SHOP, repositories: ["github.com/acme/web"] }]);
    await eventually(() => expect(told(ofRepository)).not.toEqual([]));
    expect(await namesAt(repository("github.com/acme/web"))).toEqual(["one__safe", "two__echo"]);
    installation.around.setToolSets([]);
    await eventually(async () => expect(await namesAt(repository("github.com/acme/web"))).toContain("one__echo"));
    expect((await session.request("tools/list")).status).toBe(404);
    expect(told(elsewhere)).toEqual([]);
  });
});
