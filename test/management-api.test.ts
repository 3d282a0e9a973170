import { randomUUID } from "node:crypto";
import { useInfrastructure, useSystem } from "@tollgate/testkit";
import { describe, expect, test } from "vitest";

const infra = useInfrastructure();
const system = useSystem(infra, { yaml: "groups:\n  - { id: demo, name: Demo }\n" });

interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  readonly type: string | undefined;
  readonly answer: any;
}

async function api(
  method: string,
  path: string,
  options: { body?: unknown; headers?: Record<string, string>; token?: string; base?: string } = {},
): Promise<Answer> {
  const { body, headers, token = system.adminToken, base = system.gatewayUrl } = options;
  const response = await fetch(`${base}/api/v1${path}`, {
    method,
    headers: {
      authorization: `Bearer ${token}`,
      ...(body === undefined ? {} : { "content-type": "application/json" }),
      ...headers,
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const text = await response.text();
  const type = response.headers.get("content-type")?.split(";")[0];
  const answer: unknown = type?.endsWith("json") && text !== "" ? JSON.parse(text) : undefined;
  return { status: response.status, headers: response.headers, text, type, answer };
}

const DENY = { effect: "deny", principals: ["*"], actions: ["tools/call"], resources: ["nobodys:*"] };

describe("ETags", () => {
  const PUTS = [
    ["/policies/tagged", DENY, { ...DENY, description: "another" }],
    ["/limits/tagged", { per: "principal", concurrent: 3 }, { per: "principal", concurrent: 4 }],
    ["/principals/agent:tagged", { note: "one" }, { note: "another" }],
    ["/roles/tagged", { description: "one" }, { description: "another" }],
  ] as const;

  test.each(PUTS)("of %s: shown, compared before a change, and one's own is not sent again", async (path, one, two) => {
    const created = await api("PUT", path, { body: one, headers: { "if-none-match": "*" } });
    const first = created.headers.get("etag")!;
    expect([created.status, first]).toEqual([200, expect.stringMatching(/^".+"$/)]);
    const shown = await api("GET", path);
    expect(shown.headers.get("etag")).toBe(first);
    for (const known of [first, `W/${first}`, `"x", ${first}`, "*"])
      expect(await api("GET", path, { headers: { "if-none-match": known } })).toMatchObject({ status: 304, text: "" });
    const changed = await api("PUT", path, { body: two, headers: { "if-match": first } });
    const second = changed.headers.get("etag")!;
    expect([changed.status, second === first]).toEqual([200, false]);
    expect((await api("GET", path, { headers: { "if-none-match": first } })).status).toBe(200);
    for (const headers of [{ "if-match": first }, { "if-match": '"nothing"' }, { "if-none-match": "*" }])
      expect(await api("PUT", path, { body: one, headers })).toMatchObject({
        status: 412,
        answer: { status: 412, title: "Precondition failed", etag: second },
      });
    if (path.startsWith("/roles")) return;
    const removal = { headers: { "if-match": first } };
    expect(await api("DELETE", path, removal)).toMatchObject({ status: 412, answer: { etag: second } });
    expect((await api("DELETE", path, { headers: { "if-match": second } })).status).toBe(200);
    // What is gone is no version any more.
    expect((await api("PUT", path, { body: one, headers: { "if-match": second } })).status).toBe(412);
    expect((await api("GET", path)).status).toBe(404);
  });

  test("of lists say whether anything has changed", async () => {
    const { headers } = await api("GET", "/roles");
    const known = { headers: { "if-none-match": headers.get("etag")! } };
    expect((await api("GET", "/roles", known)).status).toBe(304);
    await api("PUT", "/roles/changing", { body: { description: headers.get("etag") } });
    expect((await api("GET", "/roles", known)).status).toBe(200);
  });

  test.each([{ "if-match": "7" }, { "if-match": '"a", "b"' }, { "if-none-match": '"a"' }])(
    "%o is refused",
    async (headers) =>
      expect(await api("PUT", "/roles/other", { body: {}, headers })).toMatchObject({
        status: 400,
        answer: { code: "invalid_argument" },
      }),
  );
});

describe("an Idempotency-Key", () => {
  const keyed = (key: string, headers: Record<string, string> = {}) => ({ "idempotency-key": key, ...headers });
  const newKey = () => `"${randomUUID()}"`;

  test("lets a request be repeated: done once, answered alike, at any gateway", async () => {
    const other = await system.startGateway();
    const headers = keyed(newKey());
    const body = { name: "of-a-key", tenant: "acme" };
    const first = await api("POST", "/tokens", { body, headers });
    expect(first).toMatchObject({ status: 201, answer: { secret: expect.stringMatching(/.{20}/) } });
    for (const base of [system.gatewayUrl, other.url]) {
      const again = await api("POST", "/tokens", { body, headers, base });
      expect([again.status, again.text]).toEqual([201, first.text]);
      for (const name of ["location", "content-type", "cache-control"])
        expect([name, again.headers.get(name)]).toEqual([name, first.headers.get(name)]);
      expect(again.headers.get("idempotency-replayed")).toBe("true");
    }
    expect(first.headers.has("idempotency-replayed")).toBe(false);
    // Without it, it is one more request.
    expect((await api("POST", "/tokens", { body })).status).toBe(409);
    await other.stop("SIGTERM");
  });

  test("is for one request only, and its principal's own", async () => {
    const headers = keyed(newKey());
    const put = (path: string, body: object, more = {}) => api("PUT", path, { body, headers: { ...headers, ...more } });
    expect((await put("/roles/keyed", { description: "one" })).status).toBe(200);
    for (const other of [
      await put("/roles/keyed", { description: "two" }),
      await put("/roles/other", { description: "one" }),
      await put("/roles/keyed", { description: "one" }, { "if-match": '"x"' }),
      await api("DELETE", "/policies/keyed", { headers }),
    ])
      expect(other).toMatchObject({ status: 422, answer: { status: 422, code: "failed_precondition" } });
    await api("PUT", "/policies/administering", {
      body: { effect: "allow", principals: ["token:caller"], actions: ["admin/principals/write"], resources: ["*"] },
    });
    const asCaller = { body: { description: "two" }, headers, token: system.token };
    expect((await api("PUT", "/roles/keyed", asCaller)).headers.has("idempotency-replayed")).toBe(false);
  });

  test("has one request under way, and keeps what was refused", async () => {
    const headers = keyed(newKey());
    const body = { name: "at-once", tenant: "acme" };
    const answers = await Promise.all(Array.from({ length: 8 }, () => api("POST", "/tokens", { body, headers })));
    const first = answers.filter((each) => each.status === 201 && !each.headers.has("idempotency-replayed"));
    expect(first).toHaveLength(1);
    for (const { status, text, headers: given } of answers)
      if (status === 201) expect(text).toBe(first[0]!.text);
      else expect([status, given.get("retry-after")]).toEqual([409, "1"]);
    const refused = { body: { effect: "maybe" }, headers: keyed(newKey()) };
    expect((await api("PUT", "/policies/refused", refused)).headers.has("idempotency-replayed")).toBe(false);
    const again = await api("PUT", "/policies/refused", refused);
    expect([again.status, again.type, again.headers.get("idempotency-replayed")]).toEqual([
      400,
      "application/problem+json",
      "true",
    ]);
  });

  test.each(["", "two words", "x".repeat(256), "\u00fc"])("cannot be %j", async (key) =>
    expect(await api("PUT", "/roles/odd", { body: {}, headers: keyed(key) })).toMatchObject({ status: 400 }),
  );

  test("means nothing where nothing is changed", async () => {
    const headers = keyed(newKey());
    await api("GET", "/roles", { headers });
    expect((await api("GET", "/policies", { headers })).status).toBe(200);
  });
});

describe("a batch", () => {
  const batch = (requests: unknown[], more: object = {}, token = system.adminToken) =>
    api("POST", "/batch", { body: { requests, ...more }, token });

  test("makes its requests one after the other, each as if it were alone", async () => {
    const { status, answer } = await batch([
      { id: "put", method: "PUT", path: "/api/v1/roles/of-batch", body: { description: "one" } },
      { id: "seen", method: "GET", path: "/api/v1/roles/of-batch" },
      { id: "stale", method: "PUT", path: "/api/v1/roles/of-batch", headers: { "if-match": '"x"' }, body: {} },
      { method: "GET", path: "/api/v1/roles/none" },
      { method: "GET", path: "/api/v1/limits?limit=1&sort=-id" },
    ]);
    expect(status).toBe(200);
    expect(answer.items.map(({ id, status: each }: any) => [id, each])).toEqual([
      ["put", 200],
      ["seen", 200],
      ["stale", 412],
      ["3", 404],
      ["4", 200],
    ]);
    expect(answer.items[1]).toMatchObject({
      headers: { "content-type": "application/json; charset=utf-8", etag: answer.items[0].headers.etag },
      body: { name: "of-batch", description: "one" },
      bodyOmitted: false,
    });
  });

  test("ends at the first mistake where it says so", async () => {
    const requests = [
      { method: "GET", path: "/api/v1/roles" },
      { method: "GET", path: "/api/v1/roles/none" },
      { method: "PUT", path: "/api/v1/roles/not-reached", body: {} },
    ];
    expect((await batch(requests, { stopOnError: true })).answer.items).toHaveLength(2);
    expect((await api("GET", "/roles/not-reached")).status).toBe(404);
  });

  test("does no more than its caller may", async () => {
    const requests = [
      { method: "GET", path: "/api/v1/policies" },
      { method: "GET", path: "/api/v1/approvals" },
    ];
    const { answer } = await batch(requests, {}, system.token);
    expect(answer.items).toMatchObject([
      { status: 403, body: { action: "admin/policies/read" } },
      { status: 200, body: { items: [] } },
    ]);
    expect((await batch(requests, {}, "forged")).status).toBe(401);
    // What asks from outside is not taken for a part of a batch.
    const forged = await api("GET", "/policies", { headers: { "x-tollgate-inner": "x" }, token: "forged" });
    expect(forged.status).toBe(401);
  });

  test("repeats what has a key once only", async () => {
    const request = {
      method: "POST",
      path: "/api/v1/tokens",
      headers: { "idempotency-key": randomUUID() },
      body: { name: "of-batch", tenant: "acme" },
    };
    const { items } = (await batch([request, request])).answer;
    expect(items.map(({ status }: any) => status)).toEqual([201, 201]);
    expect(items[1].headers["idempotency-replayed"]).toBe("true");
    expect(items[1].body.secret).toBe(items[0].body.secret);
  });

  test.each(["/api/v1/batch", "/api/v1/audit/tail", "/api/v1/audit/export", "/api/v1/audit/verify"])(
    "has no part at %s",
    async (path) => {
      const method = /batch|verify/.test(path) ? "POST" : "GET";
      const { answer } = await batch([{ method, path }]);
      expect(answer.items[0]).toMatchObject({ status: 400, body: { code: "invalid_argument" } });
    },
  );

  test.each([
    [{ method: "GET", path: "/mcp" }],
    [{ method: "GET", path: "/api/v1/../../metrics" }],
    [{ method: "GET", path: "/api/v1/%2e%2e/%2e%2e/metrics" }],
    [{ method: "GET", path: "https://example.com/api/v1/roles" }],
    [{ method: "GET", path: "/api/v1/roles", headers: { authorization: "Bearer x" } }],
    [{ method: "TRACE", path: "/api/v1/roles" }],
    Array.from({ length: 101 }, () => ({ method: "GET", path: "/api/v1/roles" })),
    [],
  ])("cannot be of %j", async (...requests) => {
    expect((await batch(requests)).status).toBe(400);
  });
});

describe("GraphQL", () => {
  const ask = async (query: string, more: object = {}, token = system.adminToken) =>
    api("POST", "/graphql", { body: { query, ...more }, token });
  /** The names of the reads that have a JSON answer. */
  const reads = async () => {
    const { paths } = (await api("GET", "/openapi.json")).answer;
    const operations = Object.entries(paths).filter(
      ([path]) => path.startsWith("/api/v1/") && !path.endsWith("/graphql"),
    );
    return operations
      .map(([, { get }]: [string, any]) => get)
      .filter((get) => get?.responses["200"]?.content?.["application/json"] !== undefined);
  };

  test("has a field for every read, with its parameters, and says what they are", async () => {
    const { answer } = await ask(`{ schema: __schema { queryType { fields { name description args { name } } } } }`);
    const fields = answer.data.schema.queryType.fields;
    const described = (await reads()).map(({ operationId, parameters = [] }) => [
      operationId,
      parameters.filter((each: any) => ["path", "query"].includes(each.in)).map(({ name }: any) => name),
    ]);
    const shown = fields.map(({ name, args }: any) => [name, args.map((each: any) => each.name)]);
    expect(Object.fromEntries(shown)).toEqual(Object.fromEntries(described));
    expect(fields.every(({ description }: any) => description?.length > 3)).toBe(true);
    // As tools ask for the whole of it.
    const type = `kind name ${"ofType { kind name ".repeat(7)}${"}".repeat(7)}`;
    const whole = `{ schema: __schema { types { name fields { name args { name type { ${type} } } type { ${type} } } } } }`;
    expect((await ask(whole)).answer.data.schema.types.length).toBeGreaterThan(30);
  });

  test("answers what the routes answer", async () => {
    for (const { operationId, parameters = [] } of await reads()) {
      if (parameters.some((each: any) => each.required)) continue;
      const kind = (await ask(`{ query: __type(name: "Query") { fields { name type { name kind } } } }`)).answer.data
        .query;
      const { type } = kind.fields.find(({ name }: any) => name === operationId);
      const { answer } = await ask(`{ ${operationId} ${type.kind === "OBJECT" ? "{ __typename }" : ""} }`);
      expect([operationId, answer.errors, answer.data[operationId]]).toEqual([
        operationId,
        undefined,
        expect.anything(),
      ]);
    }
    await api("PUT", "/policies/of-graphql", { body: DENY });
    const query = `query ($id: String!) {
      one: getPolicy(id: $id) { id effect principals conditions version history(limit: 1) { items { version change } } }
      some: listPolicies(q: "nobodys", sort: "-id", limit: 1000) { items { id } nextCursor revision }
    }`;
    const { answer } = await ask(query, { variables: { id: "of-graphql" } });
    const { answer: policy } = await api("GET", "/policies/of-graphql");
    const { id, effect, principals, conditions, version } = policy;
    expect(answer.data.one).toEqual({
      id,
      effect,
      principals,
      conditions,
      version,
      history: { items: [{ version, change: "put" }] },
    });
    expect(answer.data.some.items).toContainEqual({ id: "of-graphql" });
    const get = await api("GET", `/graphql?query=${encodeURIComponent(query)}&variables={"id":"of-graphql"}`);
    expect(get.answer).toEqual(answer);
  });

  test("leads from groups to servers, and on to what is known of those", async () => {
    const { answer } = await ask(
      "{ listGroups { items { id servers { items { id health { state } tools { items { name } } } } } } }",
    );
    expect(answer).toEqual({ data: { listGroups: { items: [{ id: "demo", servers: { items: [] } }] } } });
  });

  test("shows each field to those only who may read it", async () => {
    const query = "{ listPolicies { revision } listApprovals { items { id } } }";
    const { status, answer } = await ask(query, {}, system.token);
    expect([status, answer.data]).toEqual([200, { listPolicies: null, listApprovals: { items: [] } }]);
    expect(answer.errors).toMatchObject([
      { path: ["listPolicies"], extensions: { code: "permission_denied", status: 403, action: "admin/policies/read" } },
    ]);
    for (const { operationId, parameters = [] } of await reads()) {
      if (parameters.some((each: any) => each.required) || /^(listApprovals|listTools)$/.test(operationId)) continue;
      const { answer: denied } = await ask(`{ ${operationId} { __typename } }`, {}, system.token);
      const scalar = denied.errors.some(({ message }: any) => message.includes("must not have a selection"));
      expect([operationId, scalar || denied.errors[0].extensions.code]).toEqual([
        operationId,
        scalar || "permission_denied",
      ]);
    }
    expect((await ask(query, {}, "forged")).status).toBe(401);
  });

  test("says what is wrong, and is bounded", async () => {
    expect((await ask('{ getRole(name: "none") { name } }')).answer).toMatchObject({
      data: { getRole: null },
      errors: [{ path: ["getRole"], extensions: { code: "not_found", status: 404 } }],
    });
    for (const wrong of [
      "{",
      "{ nothing }",
      "{ getRole { name } }",
      "mutation { a }",
      "subscription { a }",
      "1",
      '{"kind":"Document","definitions":[]}',
    ])
      expect((await ask(wrong)).answer).toMatchObject({ data: null, errors: [{ message: expect.any(String) }] });
    const deep = (levels: number): string =>
      levels === 0 ? "id" : `history { items { policy { ${deep(levels - 1)} } } }`;
    expect((await ask(`{ getPolicy(id: "of-graphql") { ${deep(6)} } }`)).answer.errors[0].message).toMatch(/depth/);
    const many = Array.from({ length: 60 }, (_, at) => `a${at}: getRole(name: "none") { name }`).join(" ");
    const { errors } = (await ask(`{ ${many} }`)).answer;
    expect(errors.filter(({ extensions }: any) => extensions.code === "payload_too_large")).toHaveLength(10);
    expect((await api("POST", "/graphql", { body: [{ query: "{ __typename }" }] })).status).toBe(400);
    expect((await api("POST", "/graphql", { body: { query: "#".repeat(200_000) } })).status).toBe(413);
    expect((await api("GET", "/graphql?query={__typename}&variables=x")).status).toBe(400);
  });
});

describe("the reference page", () => {
  const page = async (path: string) => {
    const response = await fetch(`${system.gatewayUrl}${path}`);
    return { response, text: await response.text() };
  };

  test("shows the document, with nothing from elsewhere", async () => {
    const { response, text } = await page("/api/docs");
    expect(response.status).toBe(200);
    expect(response.headers.get("content-security-policy")).toMatch(/default-src 'none'; script-src 'self';/);
    const asked = [...text.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, path]) => path!);
    expect(asked.length).toBeGreaterThan(4);
    for (const path of asked) {
      expect(path).toMatch(/^\/api\/docs\/static\//);
      expect([path, (await page(path)).response.status]).toEqual([path, 200]);
    }
    // Scripts that stand in the page itself are not run.
    expect(text).not.toMatch(/<script(?![^>]*src=)/);
    const { openapi, paths } = JSON.parse((await page("/api/docs/json")).text);
    expect([openapi, paths["/api/v1/policies"].get.operationId]).toEqual(["3.1.0", "listPolicies"]);
  });

  test("leads nowhere else", async () => {
    for (const path of ["/api/docs/../../main.ts", "/api/docs/static/..%2f..%2fpackage.json", "/api/docs/nothing"])
      expect((await page(path)).response.status).toBe(404);
  });
});

describe("what is not there", () => {
  test.each([
    ["GET", "/nothing", 404, "not_found", null],
    ["DELETE", "/policies", 405, "method_not_found", "GET"],
    ["PATCH", "/policies/x", 405, "method_not_found", "GET, HEAD, PUT, DELETE"],
  ])("%s %s is answered with a problem", async (method, path, status, code, allow) => {
    const { headers, answer, ...rest } = await api(method, path);
    expect(rest.status).toBe(status);
    expect(answer).toMatchObject({ status, code, detail: expect.stringContaining(`/api/v1${path}`) });
    if (allow !== null) for (const each of allow.split(", ")) expect(headers.get("allow")).toContain(each);
  });
});
