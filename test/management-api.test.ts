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
