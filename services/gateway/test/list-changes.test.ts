import { eventually } from "@tollgate/testkit";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { principal } from "./controlled-policy.ts";
import { useInstallation } from "./installation.ts";
import { beginSession, cutStreamsAfterEach, type EventReader, modernFrame, streamModern } from "./mcp-connections.ts";
import { manyServers, registryItem, registryTool } from "./sample-catalogue.ts";
import { connectWebSocket, type SocketClient } from "./websocket-client.ts";

const SUBSCRIPTION_ID = "io.modelcontextprotocol/subscriptionId";
const ALL = { toolsListChanged: true, promptsListChanged: true, resourcesListChanged: true };

const installation = useInstallation({ replicas: 2 });
cutStreamsAfterEach();

const methodsOf = ({ messages }: EventReader | SocketClient) =>
  messages.map(({ method }) => method as string).filter((method) => method?.endsWith("list_changed"));
const [tools, prompts, resources] = ["tools", "prompts", "resources"].map(
  (list) => `notifications/${list}/list_changed`,
);

/** The sample servers, of which the first has more. */
function serversWith(more: { tool?: string; prompt?: string; resource?: string; template?: string }) {
  const [one, ...others] = manyServers();
  const { tool, prompt, resource, template } = more;
  return [
    {
      ...one!,
      tools: [...one!.tools, ...(tool === undefined ? [] : [registryTool(tool)])],
      prompts: [...one!.prompts, ...(prompt === undefined ? [] : [registryItem(prompt, { name: prompt })])],
      resources: [...one!.resources, ...(resource === undefined ? [] : [registryItem(resource, { uri: resource })])],
      resourceTemplates: [
        ...one!.resourceTemplates,
        ...(template === undefined ? [] : [registryItem(template, { uriTemplate: template })]),
      ],
    },
    ...others,
  ];
}

const begin = (path?: string, token = "token") =>
  beginSession(installation, { ...(path === undefined ? {} : { path }), token });
const listen = async (notifications: object, path = "/mcp", more: Parameters<typeof streamModern>[3] = {}) => {
  const reader = await streamModern(installation.url(path), "subscriptions/listen", { notifications }, more);
  await eventually(() => expect(reader.messages).toHaveLength(1));
  return reader;
};
beforeEach(() => installation.around.setServers(manyServers()));
afterEach(() => {
  installation.around.policy.tokens.set("token", principal());
  installation.around.policy.tokens.set("colleague-token", principal({ id: "colleague" }));
});

describe("a new catalogue", () => {
  test.each([
    ["tool", tools],
    ["prompt", prompts],
    ["resource", resources],
    ["template", resources],
  ])("with one %s more is told as %s, on every kind of stream", async (kind, method) => {
    const standing = await (await begin()).listen({ replica: 1 });
    const socket = await connectWebSocket(installation);
    await socket.initialize();
    const listening = await listen(ALL);
    const readers = [standing, socket, listening];
    await eventually(() => {
      installation.around.setServers(serversWith({ [kind]: `x:${Date.now()}` }));
      for (const reader of readers) expect(methodsOf(reader)).toContain(method);
    });
    for (const reader of readers) expect(new Set(methodsOf(reader))).toEqual(new Set([method]));
    expect(listening.messages.at(-1)).toEqual({
      jsonrpc: "2.0",
      method,
      params: { _meta: { [SUBSCRIPTION_ID]: 1 } },
    });
    socket.close();
  });

  test("is told to those only whose own list is another than before", async () => {
    const everything = await (await begin()).listen();
    const elsewhere = await (await begin("/mcp/plain")).listen();
    const toolsOnly = await listen({ toolsListChanged: true });
    const promptsOnly = await listen({ promptsListChanged: true });
    const nothing = await listen({});
    let prompt = "";
    await eventually(() => {
      installation.around.setServers(serversWith({ prompt: (prompt = `p-${Date.now()}`) }));
      for (const reader of [everything, promptsOnly]) expect(methodsOf(reader)).toContain(prompts);
    });
    // Behind it comes nothing of what was before.
    installation.around.setServers(serversWith({ prompt, tool: "first" }));
    await eventually(() => expect(methodsOf(everything)).toContain(tools));
    // The same lists once more are no change.
    const told = methodsOf(everything).length;
    const same = serversWith({ prompt: "last", tool: "first" });
    installation.around.setServers(same);
    await eventually(() => expect(methodsOf(everything)).toHaveLength(told + 1));
    installation.around.setServers(same);
    installation.around.setServers(serversWith({ prompt: "last", tool: "new" }));
    await eventually(() => expect(methodsOf(toolsOnly)).toEqual([tools, tools]));
    expect(methodsOf(everything).slice(told)).toEqual([prompts, tools]);
    expect(new Set(methodsOf(promptsOnly))).toEqual(new Set([prompts]));
    for (const reader of [elsewhere, nothing]) expect(methodsOf(reader)).toEqual([]);
  });
});

describe("a new policy", () => {
  test("that hides something from somebody is told to him, and to nobody else", async () => {
    const { policy } = installation.around;
    const mine = await (await begin()).listen();
    const colleagues = await (await begin("/mcp", "colleague-token")).listen();
    const listening = await listen(ALL, "/mcp", { id: "of-client" });
    let hidden = false;
    policy.allow = ({ principal: whose }, { tool }) => !(hidden && whose?.id === "dev" && tool === "safe");
    await eventually(() => {
      hidden = !hidden;
      policy.change();
      for (const reader of [mine, listening]) expect(methodsOf(reader)).toContain(tools);
    });
    expect(new Set([...methodsOf(mine), ...methodsOf(listening)])).toEqual(new Set([tools]));
    expect(methodsOf(colleagues)).toEqual([]);
    expect(listening.messages.at(-1).params._meta).toEqual({ [SUBSCRIPTION_ID]: "of-client" });
  });

  test("that takes a token back ends its streams, on every replica; others go on", async () => {
    const { policy } = installation.around;
    const mine = await begin();
    const standing = [await mine.listen(), await (await begin()).listen({ replica: 1 })];
    const listening = await listen(ALL);
    const socket = await connectWebSocket(installation);
    await socket.initialize();
    const listeningSocket = await connectWebSocket(installation);
    listeningSocket.send(modernFrame("subscriptions/listen", { notifications: ALL }, "l"));
    await eventually(() => expect(listeningSocket.messages).toHaveLength(1));
    const colleagues = await (await begin("/mcp", "colleague-token")).listen();
    policy.tokens.delete("token");
    policy.change();
    for (const reader of [...standing, listening]) await eventually(() => expect(reader.ended).toBe(true));
    await eventually(() => expect(socket.closed).toBe(4401));
    await eventually(() => expect(listeningSocket.messages.at(-1)).toMatchObject({ id: "l", result: {} }));
    expect((await mine.request("ping")).status).toBe(401);
    listeningSocket.send(modernFrame("tools/list", {}, "late"));
    await eventually(() => expect(listeningSocket.messages.at(-1)).toMatchObject({ id: "late", error: {} }));
    expect(colleagues.ended).toBe(false);
    policy.tokens.set("token", principal());
    policy.change();
  });
});
