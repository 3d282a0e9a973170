import { eventually, fixtureServer, modernClient, useInfrastructure, useSystem } from "@tollgate/testkit";
import { beforeAll, describe, expect, test } from "vitest";

// The policies of the management API in a whole system: changing, reading, history, differences, rollback, and testing.

const infra = useInfrastructure();
const system = useSystem(infra, {
  yaml: `
groups: [{ id: demo, name: Demo }]
mcp_servers:
  - { id: fixture, group: demo, type: node, command: ${fixtureServer}, environment: production }
policies:
  - { name: from-file, effect: allow, principals: ["token:caller"], actions: ["*"], resources: ["fixture:*"] }
`,
});

interface Answer {
  readonly status: number;
  readonly etag: string | null;
  readonly answer: any;
}

async function api(method: string, path: string, body?: object, more: Record<string, string> = {}): Promise<Answer> {
  const json = body === undefined ? {} : { "content-type": "application/json" };
  const headers = { authorization: `Bearer ${system.adminToken}`, ...json, ...more };
  const init = { method, headers, ...(body === undefined ? {} : { body: JSON.stringify(body) }) };
  const response = await fetch(`${system.gatewayUrl}/api/v1${path}`, init);
  return { status: response.status, etag: response.headers.get("etag"), answer: await response.json() };
}

const DENY = { effect: "deny", principals: ["*"], actions: ["tools/call"], resources: ["fixture:echo"] };
const mayCall = async () => {
  const client = modernClient({ url: `${system.gatewayUrl}/mcp`, token: system.token });
  return (await client.request("tools/call", { name: "fixture__echo" })).last.error === undefined;
};

beforeAll(async () => {
  await eventually(async () => expect(await mayCall()).toBe(true));
});

describe("policies", () => {
  test("are created, read, replaced and removed, and hold when the answer is there", async () => {
    const put = await api("PUT", "/policies/stop", { ...DENY, description: "for a while" });
    expect(put).toMatchObject({ status: 200, etag: '"1"' });
    expect(put.answer).toMatchObject({ id: "stop", ...DENY, source: "api", version: 1, updatedBy: "admin" });
    expect(put.answer.cedar).toContain("forbid (");
    expect(await mayCall()).toBe(false);
    expect(await api("GET", "/policies/stop")).toEqual({ ...put, answer: put.answer });
    const replaced = await api("PUT", "/policies/stop", { ...DENY, resources: ["fixture:other"] });
    expect(replaced).toMatchObject({ etag: '"2"', answer: { resources: ["fixture:other"] } });
    expect(await mayCall()).toBe(true);
    expect((await api("DELETE", "/policies/stop")).status).toBe(200);
    expect((await api("GET", "/policies/stop")).status).toBe(404);
    expect((await api("DELETE", "/policies/stop")).status).toBe(404);
  });

  test("are replaced only if they are what the client has seen, where it says so", async () => {
    const { etag } = await api("PUT", "/policies/seen", DENY);
    const changed = { ...DENY, resources: ["fixture:a"] };
    expect((await api("PUT", "/policies/seen", changed, { "if-match": etag! })).status).toBe(200);
    expect(await api("PUT", "/policies/seen", DENY, { "if-match": etag! })).toMatchObject({
      status: 412,
      answer: { status: 412, title: "Precondition failed", version: Number(etag!.slice(1, -1)) + 1 },
    });
    expect((await api("GET", "/policies/seen")).answer.resources).toEqual(["fixture:a"]);
    for (const wrong of ["*", "3"])
      expect((await api("PUT", "/policies/seen", DENY, { "if-match": wrong })).status).toBe(400);
    for (const other of ['W/"2"', '"a"', '""', '"0"', '"99999999999999999999"'])
      expect((await api("PUT", "/policies/seen", DENY, { "if-match": other })).status).toBe(412);
    await api("DELETE", "/policies/seen");
  });

  test.each<[object, string]>([
    [{ ...DENY, effect: "maybe" }, "effect"],
    [{ ...DENY, principals: ["*", "someone"] }, "principals[1]"],
    [{ ...DENY, resources: [] }, "resources"],
    [{ ...DENY, conditions: { tyme: 1 } }, "conditions"],
    [{ ...DENY, actions: "tools/call" }, "actions"],
    [{ ...DENY, condition: {} }, ""],
  ])("%j is refused with the place", async (body, place) => {
    const { status, answer } = await api("PUT", "/policies/wrong", body);
    expect([status, answer.code]).toEqual([400, "invalid_argument"]);
    const paths: string[] = answer.errors.map(({ path }: { path: string }) => path);
    expect(paths.some((path) => path.startsWith(place))).toBe(true);
    for (const { message } of answer.errors) expect(message).not.toBe("");
  });

  test("may be written in Cedar, and a mistake in it comes with line and column", async () => {
    const cedar = 'forbid (principal, action == Action::"tools/call", resource)\nwhen { resource.name == "echo" };';
    const put = await api("PUT", "/policies/in-cedar", { cedar });
    expect(put).toMatchObject({ status: 200, answer: { isCedar: true, cedar, effect: "", principals: [] } });
    expect(await mayCall()).toBe(false);
    const wrong = await api("PUT", "/policies/in-cedar", { cedar: cedar.replace("resource.name", "resource.nome") });
    expect(wrong).toMatchObject({
      status: 400,
      answer: { errors: [{ path: expect.stringMatching(/^cedar:2:\d+$/), message: expect.stringContaining("nome") }] },
    });
    expect((await api("PUT", "/policies/in-cedar", { ...DENY, cedar })).status).toBe(400);
    const { answer } = await api("GET", "/policies/in-cedar/diff");
    expect(answer.yaml).toContain("+cedar: |\n+  forbid (principal");
    await api("DELETE", "/policies/in-cedar");
  });

  test("of the file may be changed here too, as drift, until both say the same again", async () => {
    const before = (await api("GET", "/policies/from-file")).answer;
    expect(before).toMatchObject({ source: "file" });
    const { effect, principals, actions, resources } = before;
    const ofFile = { effect, principals, actions, resources };
    const drift = async () => (await api("GET", "/drift")).answer.items.map(({ id, drift: how }: any) => [id, how]);
    const changed = await api("PUT", "/policies/from-file", { ...ofFile, description: "changed" });
    expect(changed).toMatchObject({ status: 200, answer: { source: "api", version: 2 } });
    expect(await drift()).toEqual([["from-file", "changed"]]);
    expect((await api("PUT", "/policies/from-file", ofFile)).answer).toMatchObject({ source: "file", version: 3 });
    expect(await drift()).toEqual([]);
    expect((await api("GET", "/policies/from-file/history")).answer.items.at(-1)).toMatchObject({
      version: 1,
      change: "put",
      author: "tollgate.yaml",
    });
  });
});

describe("the list of policies", () => {
  beforeAll(async () => {
    for (const n of [1, 2, 3, 4])
      await api("PUT", `/policies/list-${n}`, { ...DENY, principals: [`token:nobody-${n}`] });
  });

  const idsOf = async (query: string) => (await api("GET", `/policies?${query}`)).answer.items.map(({ id }: any) => id);

  test("is filtered", async () => {
    expect(await idsOf("")).toEqual(["from-file", "list-1", "list-2", "list-3", "list-4"]);
    expect(await idsOf("source=file")).toEqual(["from-file"]);
    expect(await idsOf("effect=deny")).toEqual(["list-1", "list-2", "list-3", "list-4"]);
    expect(await idsOf("q=NOBODY-3")).toEqual(["list-3"]);
    expect(await idsOf("tenant=acme")).toEqual(["from-file"]);
    for (const wrong of ["effect=maybe", "source=x", "limit=0", "limit=1001", "sort=x", "cursor=bm93aGVyZQ"])
      expect((await api("GET", `/policies?${wrong}`)).status).toBe(400);
  });

  test("comes in pages that go on behind the last", async () => {
    const first = (await api("GET", "/policies?limit=2")).answer;
    expect(first.items.map(({ id }: any) => id)).toEqual(["from-file", "list-1"]);
    const second = (await api("GET", `/policies?limit=2&cursor=${first.nextCursor}`)).answer;
    const third = (await api("GET", `/policies?limit=2&cursor=${second.nextCursor}`)).answer;
    expect([second, third].map(({ items }) => items.map(({ id }: any) => id))).toEqual([
      ["list-2", "list-3"],
      ["list-4"],
    ]);
    expect(third.nextCursor).toBeNull();
  });
});

describe("what was", () => {
  const at = (version: number) => ({ version });

  test("is shown, compared and brought back, also when it was deleted", async () => {
    await api("PUT", "/policies/hist", DENY);
    await api("PUT", "/policies/hist", { ...DENY, effect: "allow", resources: ["fixture:echo", "fixture:add"] });
    await api("DELETE", "/policies/hist");
    const { items } = (await api("GET", "/policies/hist/history")).answer;
    expect(items.map(({ version, change, author }: any) => [version, change, author])).toEqual([
      [3, "delete", "admin"],
      [2, "put", "admin"],
      [1, "put", "admin"],
    ]);
    expect(items[2].policy).toMatchObject(DENY);
    const page = (await api("GET", "/policies/hist/history?limit=2")).answer;
    const rest = (await api("GET", `/policies/hist/history?limit=2&cursor=${page.nextCursor}`)).answer;
    expect(rest).toMatchObject({ items: [{ version: 1 }], nextCursor: null });

    const { answer: diff } = await api("GET", "/policies/hist/diff?from=1&to=2");
    expect(diff.fields).toEqual([
      { field: "effect", from: "deny", to: "allow" },
      { field: "resources", from: ["fixture:echo"], to: ["fixture:echo", "fixture:add"] },
    ]);
    expect(diff.yaml).toContain('-effect: "deny"\n+effect: "allow"\n');
    expect(diff.yaml).toContain('   - "fixture:echo"\n+  - "fixture:add"\n');
    expect(diff.cedar).toContain("\n-forbid (");
    const removal = (await api("GET", "/policies/hist/diff")).answer;
    expect([removal.from, removal.to]).toEqual([2, 3]);
    expect(removal.yaml.match(/^\+(?!\+\+)/m)).toBeNull();

    expect(await mayCall()).toBe(true);
    const back = await api("POST", "/policies/hist/rollback", at(1));
    expect(back).toMatchObject({ status: 200, etag: '"4"', answer: { ...DENY, version: 4, updatedBy: "admin" } });
    expect(await mayCall()).toBe(false);
    await api("DELETE", "/policies/hist");
    expect((await api("POST", "/policies/hist/rollback", at(5))).status).toBe(409);
    expect((await api("POST", "/policies/hist/rollback", at(99))).status).toBe(404);
  });

  test.each([
    ["GET", "/policies/never/history", undefined, 404],
    ["GET", "/policies/never/diff", undefined, 404],
    ["GET", "/policies/hist/diff?from=1&to=99", undefined, 404],
    ["GET", "/policies/hist/diff?from=x", undefined, 400],
    ["POST", "/policies/never/rollback", at(1), 404],
    ["POST", "/policies/hist/rollback", {}, 400],
    ["POST", "/policies/hist/rollback", { version: 0 }, 400],
  ] as const)("%s %s %j is answered %i", async (method, path, body, status) => {
    expect(await api(method, path, body)).toMatchObject({ status });
  });
});

describe("a test of the policies", () => {
  const ask = async (body: object) => (await api("POST", "/policies/test", body)).answer;
  const echo = { server: "fixture", tool: "echo" };

  test("says whether a token may, and which policies say so", async () => {
    expect(await ask({ caller: { token: "caller" }, ...echo })).toMatchObject({
      allow: true,
      policies: ["from-file"],
      reason: "allowed by policy from-file",
      approvalsNeeded: 0,
      revision: expect.any(Number),
    });
    expect(await ask({ caller: { token: "other" }, ...echo })).toMatchObject({ allow: false, policies: [] });
    expect(await ask({ caller: { token: "caller" }, server: "fixture", resource: "file:///x" })).toMatchObject({
      allow: true,
    });
    expect(await ask({ caller: { token: "caller" }, server: "fixture", prompt: "greet" })).toMatchObject({
      allow: true,
    });
    expect(await ask({ caller: { token: "unknown" }, ...echo })).toMatchObject({ allow: false });
  });

  test("says it of agents, users and administrators too", async () => {
    const bot = await api("PUT", "/principals/agent:bot?tenant=acme", { team: "ops", roles: ["robot"] });
    expect(bot.status).toBe(200);
    const robots = [{ id: "robots", ...DENY, effect: "allow", principals: ["role:robot"] }];
    const maybe = async (caller: object) => (await ask({ caller, ...echo, proposed: robots })).allow;
    expect(await maybe({ agent: "bot", tenant: "acme" })).toBe(true);
    expect(await maybe({ agent: "bot", tenant: "rival" })).toBe(false);
    expect(await maybe({ agent: "bot", tenant: "acme", roles: ["other"] })).toBe(false);
    expect(await maybe({ user: "ann", tenant: "acme", roles: ["robot"] })).toBe(true);
    expect(await maybe({ user: "ann", tenant: "acme" })).toBe(false);
    const action = "admin/policies/write";
    expect(await ask({ caller: { token: "admin" }, action })).toMatchObject({ allow: true, policies: [] });
    expect(await ask({ caller: { token: "caller" }, action })).toMatchObject({ allow: false });
  });

  test("asks with all that is known of a call", async () => {
    const conditions = {
      environment: "production",
      network: "10.0.0.0/8",
      time: { from: "08:00", to: "09:00" },
      mfa: true,
      arguments: { message: { like: "hi*" } },
    };
    const proposed = [{ id: "narrow", ...DENY, effect: "allow", principals: ["role:x"], conditions }];
    const caller = { user: "ann", roles: ["x"], address: "10.1.1.1", amr: ["mfa"] };
    const asked = { caller, ...echo, arguments: { message: "hi there" }, at: "2026-09-07T08:30:00Z", proposed };
    expect(await ask(asked)).toMatchObject({ allow: true, policies: ["narrow"], variesByArguments: false });
    for (const other of [
      { caller: { ...caller, address: "192.0.2.1" } },
      { caller: { ...caller, amr: [] } },
      { caller: { ...caller, roles: [] } },
      { arguments: { message: "ho" } },
      { at: "2026-09-07T09:30:00Z" },
    ])
      expect(await ask({ ...asked, ...other })).toMatchObject({ allow: false });
    expect(await ask({ ...asked, arguments: undefined })).toMatchObject({ allow: true, variesByArguments: true });
  });

  test("tries out what is only proposed", async () => {
    const proposed = [{ id: "maybe", ...DENY }];
    expect(await ask({ caller: { token: "caller" }, ...echo, proposed })).toMatchObject({
      allow: false,
      policies: ["maybe"],
    });
    expect(await ask({ caller: { token: "caller" }, ...echo, removed: ["from-file"] })).toMatchObject({
      allow: false,
      policies: [],
    });
    expect(await mayCall()).toBe(true);
  });

  test.each<[object, number, string]>([
    [{ caller: {}, ...echo }, 400, "a token, an agent or a user"],
    [{ caller: { token: "a", user: "b" }, ...echo }, 400, "a token, an agent or a user"],
    [
      { caller: { token: "caller" }, server: "fixture", tool: "a", prompt: "b" },
      400,
      "one of tool, prompt and resource",
    ],
    [{ caller: { token: "caller" }, server: "fixture" }, 400, "has to be said"],
    [{ caller: { token: "caller" }, tool: "echo" }, 400, "whose tool"],
    [{ caller: { token: "caller" }, server: "nowhere", tool: "echo" }, 404, 'no server "nowhere"'],
    [{ caller: { token: "caller" }, ...echo, removed: ["never"] }, 400, "removed[0]"],
    [{ caller: { token: "caller" }, ...echo, proposed: [{ id: "x", ...DENY, effect: "" }] }, 400, "proposed[0].effect"],
  ])("refuses %j with %i", async (body, status, detail) => {
    const refused = await api("POST", "/policies/test", body);
    expect([refused.status, refused.answer.detail]).toEqual([status, expect.stringContaining(detail)]);
  });
});
