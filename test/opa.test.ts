import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { eventually, fixtureServer, legacyClient, modernClient, useInfrastructure, useSystem } from "@tollgate/testkit";
import { afterAll, beforeAll, expect, test } from "vitest";

interface Input {
  readonly action: string;
  readonly resource: { readonly name: string };
  readonly arguments?: Readonly<Record<string, unknown>>;
}

/** What OPA's policy says; undefined: it hangs up. */
let rule: ((input: Input) => unknown) | undefined = () => true;
const asked: Input[] = [];
const opa = createServer((request, response) => {
  let text = "";
  request.setEncoding("utf8");
  request.on("data", (chunk) => (text += String(chunk)));
  request.on("end", () => {
    const { input } = JSON.parse(text) as { input: Input };
    asked.push(input);
    if (rule === undefined) return response.destroy();
    return response.setHeader("content-type", "application/json").end(JSON.stringify({ result: rule(input) }));
  });
});
await new Promise<void>((resolve) => opa.listen(0, "127.0.0.1", resolve));

const infra = useInfrastructure();
const system = useSystem(infra, {
  yaml: `  opa: { url: "http://127.0.0.1:${(opa.address() as AddressInfo).port}", timeout: 1.5 }
groups: [{ id: demo }]
mcp_servers:
  - { id: fixture, group: demo, type: node, command: ${fixtureServer} }
policies:
  - { name: allow, effect: allow, principals: ["token:caller"], actions: ["*"], resources: ["fixture:*"] }
`,
});

const client = () => modernClient({ url: `${system.gatewayUrl}/mcp`, token: system.token });
const echo = async (message: string) =>
  (await client().request("tools/call", { name: "fixture__echo", arguments: { message } })).last;

async function events(): Promise<any[]> {
  const headers = { authorization: `Bearer ${system.adminToken}` };
  const response = await fetch(`${system.gatewayUrl}/api/v1/audit/events?principal=caller&limit=1000`, { headers });
  return ((await response.json()) as { items: any[] }).items;
}

beforeAll(async () => {
  await eventually(async () => expect(await echo("hi")).toMatchObject({ result: { content: [{ text: "hi" }] } }));
});
afterAll(async () => {
  opa.closeAllConnections();
  await new Promise((resolve) => opa.close(resolve));
});

test("a call is decided by its arguments, and its event says so", async () => {
  rule = (input) => ({ allow: input.arguments?.["message"] !== "bad", reason: "nothing bad" });
  expect(await echo("good")).toMatchObject({ result: { content: [{ text: "good" }] } });
  expect(await echo("bad")).toMatchObject({
    error: { message: expect.stringContaining("denied by OPA: nothing bad"), data: { code: "permission_denied" } },
  });
  await eventually(async () => {
    const found = await events();
    expect(found.find(({ kind, code }) => kind === "refusal" && code === "denied")).toMatchObject({
      tool: "echo",
      decision: { allow: false, policies: ["opa"], reason: "denied by OPA: nothing bad" },
    });
    expect(found.find(({ kind, outcome }) => kind === "call" && outcome === "ok")).toMatchObject({
      decision: { allow: true, policies: ["allow", "opa"] },
    });
  });
});

test("what it changes its mind about holds from the next request on", async () => {
  rule = () => true;
  expect(await echo("one")).toHaveProperty("result");
  rule = () => false;
  expect(await echo("two")).toHaveProperty("error");
  rule = () => true;
  expect(await echo("three")).toHaveProperty("result");
});

test("a resource is asked about at each reading", async () => {
  const legacy = await legacyClient({ url: `${system.gatewayUrl}/mcp/demo/fixture`, token: system.token });
  const read = async () => (await legacy.request("resources/read", { uri: "fixture://one" })).last;
  rule = () => true;
  expect(await read()).toHaveProperty("result");
  rule = ({ action }) => action !== "resources/read";
  expect(await read()).toMatchObject({ error: { message: expect.stringContaining("denied by OPA") } });
  expect(asked.at(-1)).toMatchObject({ action: "resources/read", resource: { name: "fixture://one" } });
});

test("tools are listed as the policies allow, without asking", async () => {
  rule = () => false;
  const before = asked.length;
  const { last } = await client().request("tools/list");
  expect(last.result.tools.map(({ name }: { name: string }) => name)).toContain("fixture__echo");
  expect(asked).toHaveLength(before);
});

test("without an answer nothing is let in", async () => {
  rule = undefined;
  expect(await echo("lost")).toMatchObject({ error: { message: expect.stringContaining("OPA cannot be reached") } });
  rule = () => true;
  await eventually(async () => expect(await echo("back")).toHaveProperty("result"));
});
