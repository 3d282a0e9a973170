import { eventually, modernClient, postMcp } from "@tollgate/testkit";
import { beforeEach, describe, expect, test } from "vitest";
import { principal } from "./controlled-policy.ts";
import { useInstallation } from "./installation.ts";
import { registryServer, registryTool } from "./sample-catalogue.ts";

const installation = useInstallation();
const clientOf = (token = "token", path?: string) => modernClient({ url: installation.url(path), token });
const TOOLS = 600;
const nameOf = (n: number) => `t${String(n).padStart(3, "0")}`;
const many = (names: readonly string[]) =>
  registryServer({ id: "many", tools: names.map((name) => registryTool(name)) });
const all = Array.from({ length: TOOLS }, (_each, n) => nameOf(n));

async function pageOf(cursor: string | undefined, token?: string): Promise<{ names: string[]; next?: string }> {
  const { last } = await clientOf(token).request("tools/list", cursor === undefined ? {} : { cursor });
  return { names: last.result.tools.map((tool: { name: string }) => tool.name), next: last.result.nextCursor };
}

async function namesOf(token?: string): Promise<string[]> {
  const found: string[] = [];
  for (let cursor: string | undefined, more = true; more; more = cursor !== undefined) {
    const page = await pageOf(cursor, token);
    found.push(...page.names);
    cursor = page.next;
  }
  return found;
}

const prefixed = (names: readonly string[]) => names.map((name) => `many__${name}`);

beforeEach(async () => {
  installation.around.policy.tokens.set("token", principal());
  installation.around.policy.tokens.set("namesake-token", principal({ tenant: "rival" }));
  await installation.around.policy.changeTaken();
  installation.around.setServers([many(all)]);
  await eventually(async () => expect((await namesOf()).length).toBe(TOOLS));
});

describe("a long list", () => {
  test("comes in pages, of which each tool is on one", async () => {
    expect(await namesOf()).toEqual(prefixed(all));
    // What is remembered says the same as what was made first.
    expect(await namesOf()).toEqual(prefixed(all));
  });

  test("goes on where it was when tools were removed and added meanwhile", async () => {
    const first = await pageOf(undefined);
    const rest = [...all.filter((_name, n) => n % 5 !== 0), "added", "t9-added"];
    installation.around.setServers([many(rest)]);
    await eventually(async () => expect(await namesOf()).toHaveLength(rest.length));
    const found = [...first.names];
    for (let cursor = first.next; cursor !== undefined;) {
      const page = await pageOf(cursor);
      found.push(...page.names);
      cursor = page.next;
    }
    expect(new Set(found).size).toBe(found.length);
    expect(found).toContain("many__t9-added");
    for (const name of prefixed(rest.slice(0, -2))) expect(found).toContain(name);
  });

  test("has an id of its own in each answer, whatever its type, also where a stream is preferred", async () => {
    for (const id of [7, "seven", 'with "quotes" and ü']) {
      const { last } = await clientOf().request("tools/list", {}, { id });
      expect([last.id, last.result.tools.length]).toEqual([id, 250]);
    }
    const about = {
      url: installation.url(),
      token: "token",
      headers: { accept: "text/event-stream, application/json" },
    };
    const meta = {
      "io.modelcontextprotocol/protocolVersion": "2026-07-28",
      "io.modelcontextprotocol/clientCapabilities": {},
    };
    const body = JSON.stringify({ jsonrpc: "2.0", id: 1, method: "tools/list", params: { _meta: meta } });
    const streamed = await postMcp(about, body, {
      headers: { "mcp-protocol-version": "2026-07-28", "mcp-method": "tools/list" },
    });
    expect(streamed.headers.get("content-type")).toMatch(/^text\/event-stream/);
    expect(streamed.last).toEqual((await clientOf().request("tools/list", {}, { id: 1 })).last);
  });
});

describe("what is remembered of a list", () => {
  test("asks nothing of policy, and is gone when the change returns that forbids it", async () => {
    const { policy } = installation.around;
    await namesOf();
    const before = { ...policy.asked };
    await namesOf();
    expect(policy.asked).toEqual(before);
    policy.allow = (_request, { tool }) => tool !== nameOf(3);
    await policy.changeTaken();
    expect(await namesOf()).toEqual(prefixed(all.filter((name) => name !== nameOf(3))));
  });

  test("is decided anew of the servers that have changed only, and of all when the policies have", async () => {
    const { around } = installation;
    const [one, other] = [many(all), registryServer({ id: "other", tools: [registryTool("o1")] })];
    around.setServers([one, other]);
    await eventually(async () => expect(await namesOf()).toHaveLength(TOOLS + 1));
    around.policy.decided.length = 0;
    around.setServers([one, registryServer({ id: "other", tools: [registryTool("o1"), registryTool("o2")] })]);
    await eventually(async () => expect(await namesOf()).toHaveLength(TOOLS + 2));
    expect(around.policy.decided.map(({ resources }) => resources.map(({ tool }) => tool))).toEqual([["o2"]]);
    around.policy.allow = (_request, { server, tool }) => server === "other" || tool === nameOf(2);
    await around.policy.changeTaken();
    around.setServers([one, registryServer({ id: "other", tools: [registryTool("o3")] })]);
    await eventually(async () => expect(await namesOf()).toEqual([`many__${nameOf(2)}`, "other__o3"]));
    around.setServers([registryServer({ id: "other", tools: [registryTool("o3")] })]);
    await eventually(async () => expect(await namesOf()).toEqual(["other__o3"]));
  });

  test("is each tenant's and each caller's own", async () => {
    const { policy } = installation.around;
    policy.allow = ({ principal: whose }, { tool }) => whose?.tenant === "acme" || tool === nameOf(1);
    await policy.changeTaken();
    for (let turn = 0; turn < 2; turn++) {
      expect(await namesOf()).toHaveLength(TOOLS);
      expect(await namesOf("namesake-token")).toEqual([`many__${nameOf(1)}`]);
    }
  });

  test("is a new one when a caller's roles are others, under the same revision of the catalogue", async () => {
    const { policy } = installation.around;
    policy.allow = ({ principal: whose }) => whose!.roles.includes("reader");
    await policy.changeTaken();
    expect(await namesOf()).toEqual([]);
    policy.tokens.set("token", principal({ roles: ["reader"] }));
    await policy.changeTaken();
    expect(await namesOf()).toHaveLength(TOOLS);
  });
});
