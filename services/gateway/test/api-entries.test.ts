import { eventually, fixtureServer, useInfrastructure, useSystem } from "@tollgate/testkit";
import { describe, expect, test } from "vitest";

const infra = useInfrastructure();
const FILE = `groups: [{ id: demo, name: Demo }]
mcp_servers:
  - { id: files, group: demo, type: node, command: ${fixtureServer}, env: { PLAIN: in-plain-text } }
tenants: [{ id: acme }]
policies:
  - { name: callers, effect: allow, principals: ["token:caller"], actions: ["tools/call"], resources: ["*"] }
`;
const system = useSystem(infra, { yaml: FILE });

interface Answer {
  readonly status: number;
  readonly etag: string | null;
  readonly location: string | null;
  readonly body: any;
}

async function ask(
  method: string,
  path: string,
  body?: unknown,
  headers: Record<string, string> = {},
): Promise<Answer> {
  const response = await fetch(`${system.gatewayUrl}/api/v1${path}`, {
    method,
    headers: {
      authorization: `Bearer ${system.adminToken}`,
      ...(body === undefined ? {} : { "content-type": "application/json" }),
      ...headers,
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const { status, headers: answered } = response;
  return { status, etag: answered.get("etag"), location: answered.get("location"), body: await response.json() };
}
const idsAt = async (path: string) => (await ask("GET", path)).body.items.map(({ id }: { id: string }) => id);

describe("servers", () => {
  test("are created, read with status, changed from the version that was read, and taken away", async () => {
    const entry = { id: "notes", group: "demo", type: "node", command: fixtureServer, env: { KEY: "plain-secret" } };
    const created = await ask("POST", "/servers", entry);
    expect(created).toMatchObject({ status: 201, location: "/api/v1/servers/notes", etag: '"1"' });
    expect(created.body).toMatchObject({ id: "notes", group: "demo", source: "api", drift: "added", version: 1 });
    expect(created.body.spec).toEqual({ ...entry, env: { KEY: "(hidden)" } });
    expect(JSON.stringify(created.body)).not.toContain("plain-secret");
    expect(await ask("POST", "/servers", entry)).toMatchObject({ status: 409, body: { code: "already_exists" } });
    await eventually(async () => expect((await ask("GET", "/servers/notes")).body.status).toBe("ready"), {
      timeoutMs: 30_000,
    });

    const read = await ask("GET", "/servers/notes");
    const { id: _, ...spec } = read.body.spec;
    const match = { "if-match": read.etag! };
    const put = await ask("PUT", "/servers/notes", { ...spec, name: "Notes" }, match);
    expect(put).toMatchObject({ status: 200, etag: '"2"', body: { name: "Notes", version: 2 } });
    expect(await ask("PUT", "/servers/notes", spec, match)).toMatchObject({ status: 412, body: { etag: '"2"' } });
    expect(await ask("DELETE", "/servers/notes", undefined, match)).toMatchObject({ status: 412 });
    expect(await ask("DELETE", "/servers/notes")).toMatchObject({ status: 200 });
    expect(await ask("GET", "/servers/notes")).toMatchObject({ status: 404 });
    expect(await ask("DELETE", "/servers/notes")).toMatchObject({ status: 404 });
  });

  test("of the file are shown as such, and covered by what is put over them", async () => {
    expect((await ask("GET", "/servers/files")).body).toMatchObject({ source: "file", drift: "", updatedBy: "file" });
    expect(await idsAt("/servers?drift=changed")).toEqual([]);
    const { spec } = (await ask("GET", "/servers/files")).body;
    expect(spec.env).toEqual({ PLAIN: "(hidden)" });
    expect(await ask("PUT", "/servers/files", { ...spec, risk: "HIGH" })).toMatchObject({ status: 200 });
    expect(await idsAt("/servers?drift=changed&risk=HIGH&group=demo")).toEqual(["files"]);
    const [drift] = (await ask("GET", "/drift")).body.items;
    expect(drift).toMatchObject({ kind: "server", id: "files", drift: "changed", file: { id: "files" } });
    expect(drift.entry).toMatchObject({ risk: "HIGH" });
    // What is hidden is what it was: with it the entry is the file's again.
    expect(await ask("PUT", "/servers/files", spec)).toMatchObject({
      status: 200,
      body: { drift: "", source: "file" },
    });
    expect((await ask("GET", "/drift")).body.items).toEqual([]);
  });

  test("with mistakes are refused, each with what is wrong", async () => {
    const refused = await ask("POST", "/servers", { id: "new", group: "gone", type: "node", comand: "x" });
    expect(refused).toMatchObject({ status: 400, body: { code: "invalid_argument" } });
    expect(refused.body.mistakes).toEqual([
      'server "new": group is not the id of a group; there are demo',
      'server "new": command is missing',
      'server "new": comand is not a known key; is "command" meant?',
    ]);
    expect(await ask("POST", "/servers", { group: "demo" })).toMatchObject({ status: 400 });
    expect(await ask("PUT", "/servers/new", {}, { "if-match": '"4"' })).toMatchObject({ status: 412 });
  });
});

test("groups, tenants and tool sets", async () => {
  expect(await ask("POST", "/groups", { id: "lab", name: "Lab" })).toMatchObject({ status: 201 });
  expect((await ask("GET", "/groups/demo")).body).toMatchObject({ servers: 1, connectors: 0, spec: { name: "Demo" } });
  expect(await idsAt("/groups?sort=-id")).toEqual(["lab", "demo"]);
  const needed = await ask("DELETE", "/groups/demo");
  expect(needed).toMatchObject({
    status: 409,
    body: { detail: expect.stringContaining('group "demo" is still needed') },
  });
  expect(await ask("DELETE", "/groups/lab")).toMatchObject({ status: 200 });

  expect((await ask("GET", "/tenants")).body.items).toMatchObject([{ id: "acme", plan: "default", source: "file" }]);
  expect(await ask("PUT", "/tenants/acme", { plan: "gold" })).toMatchObject({ status: 400 });
  expect(await ask("PUT", "/tenants/globex", {}, { "if-none-match": "*" })).toMatchObject({ status: 201 });
  expect(await ask("PUT", "/tenants/globex", {}, { "if-none-match": "*" })).toMatchObject({ status: 412 });
  expect(await ask("DELETE", "/tenants/globex")).toMatchObject({ status: 200 });

  const set = { id: "shop", tools: ["files:*"] };
  const made = await ask("POST", "/tool-sets", set);
  expect(made).toMatchObject({ status: 201, body: { route: "/mcp/sets/shop", name: "shop", spec: set } });
  expect((await ask("GET", "/tool-sets?q=shop")).body.items).toHaveLength(1);
  expect(await ask("DELETE", "/servers/files")).toMatchObject({ status: 409 });
  expect(await ask("DELETE", "/tool-sets/shop")).toMatchObject({ status: 200 });
});

test("a group's connectors are replaced, shown as servers, and changed with their group", async () => {
  const connector = {
    id: "invoices",
    base_url: "https://invoices.example/api",
    auth: { type: "bearer", token: "plain-secret" },
    operations: [{ name: "list_invoices", method: "GET", path: "/invoices" }],
  };
  const put = await ask("PUT", "/groups/demo/connectors", { connectors: [connector] });
  expect(put).toMatchObject({
    status: 200,
    body: { id: "demo", connectors: 1, drift: "changed", spec: { name: "Demo" } },
  });
  const { items } = (await ask("GET", "/connectors")).body;
  expect(items).toMatchObject([
    { id: "invoices", group: "demo", type: "connector", spec: { auth: { type: "bearer" } } },
  ]);
  // Its status may be another by now.
  const ofGroup = (await ask("GET", "/groups/demo/connectors")).body.items;
  expect(ofGroup).toMatchObject([{ id: "invoices", group: "demo", spec: items[0].spec }]);
  expect((await ask("GET", "/servers/invoices")).body).toMatchObject({ type: "connector", source: "api" });
  expect(JSON.stringify([put.body, items])).not.toContain("plain-secret");
  expect(await ask("DELETE", "/servers/invoices")).toMatchObject({
    status: 409,
    body: { detail: '"invoices" is a connector of the group "demo": change it there' },
  });
  const again = await ask("PUT", "/groups/demo/connectors", { connectors: [put.body.spec.connectors[0]] });
  expect(again.body.version).toBe(put.body.version);
  expect(await ask("PUT", "/groups/demo/connectors", { connectors: [{ id: "x" }] })).toMatchObject({ status: 400 });
  expect(await ask("PUT", "/groups/gone/connectors", { connectors: [] })).toMatchObject({ status: 404 });
  expect(await ask("PUT", "/groups/demo", { name: "Demo" })).toMatchObject({ status: 200, body: { drift: "" } });
  expect((await ask("GET", "/connectors")).body.items).toEqual([]);
});

describe("documents", () => {
  const DOCUMENT = `groups: [{ id: lab }]
tool_sets: [{ id: all, tools: ["*:*"] }]
policies:
  - { name: lab, effect: allow, principals: ["team:lab"], actions: ["tools/call"], resources: ["group:lab"] }
rate_cards: [{ id: lab, currency: EUR, per_call: "0.01" }]
`;
  const changesOf = ({ body }: Answer) => body.changes.map(({ kind, id, change }: any) => `${change} ${kind} ${id}`);

  test("are planned, applied as a whole and pruned", async () => {
    const planned = await ask("POST", "/plan", { document: DOCUMENT, name: "lab.yaml" });
    expect(planned).toMatchObject({ status: 200, body: { applied: false } });
    const changes = ["create group lab", "create tool_set all", "create rate_card lab", "create policy lab"];
    expect(changesOf(planned)).toEqual(changes);
    expect((await ask("GET", "/drift")).body.items).toEqual([]);
    const applied = await ask("POST", "/apply", { document: DOCUMENT });
    expect([changesOf(applied), applied.body.applied]).toEqual([changes, true]);
    expect(changesOf(await ask("POST", "/plan", { document: DOCUMENT }))).toEqual([]);
    expect(await idsAt("/groups")).toEqual(["demo", "lab"]);
    expect((await ask("GET", "/drift?drift=added")).body.items.map(({ kind }: any) => kind)).toContain("policy");

    const pruned = await ask("POST", "/apply", { document: FILE, prune: true });
    expect(changesOf(pruned)).toEqual(["delete group lab", "delete policy lab"]);
    expect(await idsAt("/tool-sets")).toEqual(["all"]);
    expect(await ask("POST", "/apply", { document: "tool_sets: []\n", prune: true })).toMatchObject({ status: 200 });
    expect((await ask("GET", "/drift?kind=tool_set")).body.items).toEqual([]);
  });

  test("with mistakes change nothing, and each is told once, with its place", async () => {
    const document = `groups: [{ id: lab, nme: Lab }]\nmcp_servers:\n  - { id: x, group: gone, type: node }\npolicies: [{ name: p }]\n`;
    const refused = await ask("POST", "/apply", { document, name: "lab.yaml" });
    expect(refused).toMatchObject({ status: 400, body: { code: "invalid_argument" } });
    expect(refused.body.mistakes).toEqual(
      expect.arrayContaining([
        expect.stringMatching(/^lab\.yaml:1:\d+: groups\[0\]\.nme is not a known key; is "name" meant\?$/),
        expect.stringMatching(/^lab\.yaml:3:\d+: mcp_servers\[0\]\.group is not the id of a group/),
        expect.stringMatching(/^lab\.yaml:3:\d+: mcp_servers\[0\]\.command is missing/),
        expect.stringMatching(/^lab\.yaml:4:\d+: policies\[0\]\.effect/),
      ]),
    );
    expect(new Set(refused.body.mistakes).size).toBe(refused.body.mistakes.length);
    expect(await idsAt("/groups")).toEqual(["demo"]);
    expect(await ask("POST", "/plan", { document: "[" })).toMatchObject({ status: 400 });
    expect(await ask("POST", "/plan", {})).toMatchObject({ status: 400 });
  });
});
