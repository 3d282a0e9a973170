import {
  bubblewrapProgram,
  eventually,
  fixtureServer,
  modernClient,
  useInfrastructure,
  useSystem,
} from "@tollgate/testkit";
import { beforeAll, describe, expect, test } from "vitest";

// Policies that require a sandbox, from the file and through the API, with servers that are in one and that are not. Where
// the machine lets nobody make a sandbox, what needs one is left out.

const infra = useInfrastructure();
const bwrap = await bubblewrapProgram();
const server = (id: string, mode: string) =>
  `  - { id: ${id}, group: demo, type: node, command: ${fixtureServer}, sandbox: { mode: ${mode} } }\n`;
const fileWith = (bareMode: string) => `
groups: [{ id: demo }]
mcp_servers:
${server("bare", bareMode)}${server("apart", "auto")}
policies:
  - name: careful
    effect: allow
    principals: ["token:caller"]
    actions: ["*"]
    resources: ["*"]
    conditions: { require_sandbox: true }
  - { name: careless, effect: allow, principals: ["token:other"], actions: ["*"], resources: ["*"] }
`;
const system = useSystem(infra, {
  yaml: fileWith("off"),
  env: { runner: bwrap === undefined ? {} : { TOLLGATE_BWRAP: bwrap } },
});

const clientOf = (token: string) => modernClient({ url: `${system.gatewayUrl}/mcp`, token });
const careless = () => `${system.token}_other`;
async function call(id: string, token = system.token): Promise<any> {
  const { last } = await clientOf(token).request("tools/call", { name: `${id}__echo`, arguments: { message: "hi" } });
  return last.error ?? last.result.content[0].text;
}

async function api(method: string, path: string, body?: object): Promise<any> {
  const headers = { authorization: `Bearer ${system.adminToken}` };
  const json = { headers: { ...headers, "content-type": "application/json" }, body: JSON.stringify(body) };
  const init = { method, ...(body === undefined ? { headers } : json) };
  const response = await fetch(`${system.gatewayUrl}/api/v1${path}`, init);
  expect(response.status).toBe(200);
  return response.json();
}

let hasSandbox = false;
beforeAll(async () => {
  await eventually(async () => {
    for (const id of ["bare", "apart"]) expect(await call(id, careless())).toBe("hi");
  });
  const { items } = await api("GET", "/servers");
  hasSandbox = items[0].isolation === "bubblewrap";
  expect(items).toMatchObject([
    { id: "apart", isolation: hasSandbox ? "bubblewrap" : "none" },
    { id: "bare", isolation: "none" },
  ]);
});

describe("a policy that allows in a sandbox only", () => {
  test("keeps a bare server from its callers, and says why", async () => {
    expect(await call("bare")).toMatchObject({
      code: -32003,
      message: "bare__echo: no policy allows tools/call on bare:echo: its server is in no sandbox",
    });
    const { last } = await clientOf(system.token).request("tools/list");
    const names: string[] = last.result.tools.map(({ name }: { name: string }) => name);
    expect(names.filter((name) => name.startsWith("bare__"))).toEqual([]);
    await eventually(async () => {
      const { items } = await api("GET", "/audit/events?kind=refusal&principal=caller&server=bare");
      expect(items).toContainEqual(expect.objectContaining({ code: "denied", tool: "echo" }));
    });
  });

  test("opens a server that is in one", async ({ skip }) => {
    skip(!hasSandbox);
    expect(await call("apart")).toBe("hi");
    const { last } = await clientOf(system.token).request("tools/list");
    expect(last.result.tools.map(({ name }: { name: string }) => name)).toContain("apart__echo");
  });
});

test("one that denies outside holds when its change returns, for what is outside", async () => {
  const body = { effect: "deny", principals: ["*"], actions: ["tools/call"], resources: ["*"] };
  const put = await api("PUT", "/policies/no-bare", { ...body, conditions: { require_sandbox: true } });
  expect(put).toMatchObject({
    conditions: { require_sandbox: true },
    cedar: expect.stringContaining("!resource.sandboxed"),
  });
  expect(await call("bare", careless())).toMatchObject({
    code: -32003,
    message: "bare__echo: denied by policy no-bare: its server is in no sandbox",
  });
  if (hasSandbox) expect(await call("apart", careless())).toBe("hi");
  await api("DELETE", "/policies/no-bare");
  expect(await call("bare", careless())).toBe("hi");
});

test("a server that gets a sandbox is open as soon as its runner has said so", async ({ skip }) => {
  skip(!hasSandbox);
  await system.configure(fileWith("required"));
  await eventually(async () => expect(await call("bare")).toBe("hi"));
  await system.configure(fileWith("off"));
  await eventually(async () => expect(await call("bare")).toMatchObject({ code: -32003 }));
});
