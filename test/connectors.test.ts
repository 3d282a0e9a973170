import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { eventually, modernClient, startPetsApi, useInfrastructure, useSystem } from "@tollgate/testkit";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";

// An API of others as tools, through the whole system: from its OpenAPI document to the answer, the record and the bill.

const SECRET = "key-of-the-pets-api";
const api = await startPetsApi();
const infra = useInfrastructure();

const id = { name: "id", in: "path", required: true, schema: { type: "integer" } };
const page = { name: "page", in: "query", schema: { type: "integer" } };
const items = { type: "object", properties: { items: { type: "array" } } };
const answers = { 200: { description: "", content: { "application/json": { schema: items } } } };
const body = {
  required: true,
  content: {
    "application/json": { schema: { type: "object", properties: { name: { type: "string" } }, required: ["name"] } },
  },
};
const document = {
  openapi: "3.1.0",
  info: { title: "Pets", version: "1" },
  paths: {
    "/pets": {
      get: { operationId: "listPets", summary: "All pets", parameters: [page], responses: answers },
      post: { operationId: "addPet", requestBody: body, responses: {} },
    },
    "/pets/{id}": {
      get: { operationId: "getPet", parameters: [id], responses: {} },
      delete: { operationId: "removePet", parameters: [id], responses: {} },
    },
    "/flaky": { get: { operationId: "flaky", responses: {} } },
    "/broken": { post: { operationId: "broken", responses: {} } },
  },
};

const yaml = `
groups:
  - id: shop
    connectors:
      - id: pets
        base_url: ${api.url}
        openapi: pets.json
        exclude: [removePet]
        auth: { type: api_key, in: header, name: X-Key, value: "\${PETS_KEY}" }
        retry: { backoff_ms: 10 }
        pagination: { style: auto }
        tools: { addPet: { risk: LOW }, broken: { risk: LOW } }
policies:
  - { name: all, effect: allow, principals: ["token:caller"], actions: ["*"], resources: ["pets:*"] }
  - { name: none, effect: deny, principals: ["*"], actions: ["tools/call"], resources: ["pets:getPet"] }
`;
const system = useSystem(infra, { yaml: "groups: []\n", env: { registry: { PETS_KEY: SECRET } } });
const client = () => modernClient({ url: `${system.gatewayUrl}/mcp`, token: system.token });

async function call(name: string, args: object = {}): Promise<any> {
  return (await client().request("tools/call", { name, arguments: args })).last;
}
const toolNames = async (): Promise<string[]> =>
  (await client().request("tools/list", {})).last.result.tools.map(({ name }: { name: string }) => name);

async function admin(path: string): Promise<any> {
  const headers = { authorization: `Bearer ${system.adminToken}` };
  return (await fetch(`${system.gatewayUrl}/api/v1${path}`, { headers })).json();
}

beforeAll(async () => {
  writeFileSync(join(system.stateDir, "pets.json"), JSON.stringify(document));
  await system.configure(yaml);
  await eventually(async () => expect(await toolNames()).toContain("pets__listPets"));
}, 60_000);
beforeEach(() => {
  api.requests.length = 0;
  api.failures = 0;
});
afterAll(() => api.close());

test("each operation is a tool, but those that are left out and those that nobody may call", async () => {
  expect((await toolNames()).toSorted()).toEqual(["pets__addPet", "pets__broken", "pets__flaky", "pets__listPets"]);
  const server = await admin("/servers/pets");
  expect(server).toMatchObject({ id: "pets", type: "connector", group: "shop", status: "ready" });
  expect(JSON.stringify(server)).not.toContain(SECRET);
});

test("a call is a request with the credentials, and its answer the result; a list comes whole", async () => {
  expect((await call("pets__addPet", { name: "Rex" })).result.structuredContent).toEqual({ id: 11, name: "Rex" });
  expect(api.requests).toMatchObject([
    { method: "POST", path: "/pets", headers: { "x-key": SECRET }, body: '{"name":"Rex"}' },
  ]);
  expect((await call("pets__listPets")).result.structuredContent.items.length).toBe(10);
  expect((await call("pets__getPet", { id: 1 })).error).toBeDefined();
});

test("an API in trouble is asked again; what may have been done is not done twice", async () => {
  api.failures = 1;
  expect((await call("pets__flaky")).result.structuredContent).toEqual({ well: true });
  api.requests.length = 0;
  const { error } = await call("pets__broken");
  expect(error.message).toMatch(/closed the connection/);
  expect(error.data.code).toBe("outcome_unknown");
  expect(api.requests.length).toBe(1);
});

test("the record has each call, and no secret", async () => {
  await eventually(async () => {
    const { items: events } = await admin("/audit/events?kind=call&server=pets&limit=100");
    expect(events.map(({ outcome }: any) => outcome)).toEqual(expect.arrayContaining(["ok", "unknown"]));
    // Four pages, and an empty one after them.
    expect(events.find(({ tool }: any) => tool === "listPets")).toMatchObject({ apiRequests: 5 });
    expect(JSON.stringify(events)).not.toContain(SECRET);
  });
});

test("a changed document changes the tools", async () => {
  const paths = {
    ...document.paths,
    "/pets/{id}": { delete: {} },
    "/list": { get: { operationId: "list", responses: {} } },
  };
  writeFileSync(join(system.stateDir, "pets.json"), JSON.stringify({ ...document, paths }));
  await eventually(async () => expect(await toolNames()).toContain("pets__list"));
  expect((await call("pets__list")).result.content).toEqual([{ type: "text", text: "[1,2]" }]);
});
