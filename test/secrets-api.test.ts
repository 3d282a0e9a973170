import { connectBus } from "@tollgate/bus";
import { openLife } from "@tollgate/service";
import { eventually, fixtureServer, modernClient, testLog, useInfrastructure, useSystem } from "@tollgate/testkit";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

// Secrets from the management API to the one process that needs them, through a whole system.

const infra = useInfrastructure();
const system = useSystem(infra, {
  yaml: `
groups: [{ id: demo }]
mcp_servers:
  - { id: keeper, group: demo, type: node, command: ${fixtureServer}, env: { BOT_TOKEN: "\${secret:bot-token}" } }
  - { id: other, group: demo, type: node, command: ${fixtureServer} }
policies:
  - { name: callers, effect: allow, principals: ["token:caller"], actions: ["*"], resources: ["*"] }
  - { name: readers, effect: allow, principals: ["token:reader"], actions: ["admin/secrets/read"], resources: ["*"] }
`,
  colleagues: ["reader"],
});
const [FIRST, SECOND] = ["first-value-of-the-bot", "second-value-of-the-bot"];
const life = openLife(testLog);
const lines: string[] = [];
/** All that the API has answered. */
const answers: string[] = [];

beforeAll(async () => {
  const bus = await connectBus({
    url: infra.natsUrl,
    name: "test",
    prefix: infra.busPrefix,
    log: testLog,
    signal: life.signal,
  });
  life.onClose("bus", 5_000, () => bus.drain());
  const messages = await (await bus.js.consumers.get(bus.subjects.streams.audit)).consume();
  life.onClose("messages", 1_000, () => messages.stop());
  void (async () => {
    for await (const message of messages) lines.push(...message.string().split("\n"));
  })();
});
afterAll(() => life.close());

async function api(method: string, path: string, options: { body?: object; token?: string; headers?: object } = {}) {
  const { body, token = system.adminToken } = options;
  const json = body === undefined ? {} : { "content-type": "application/json" };
  const response = await fetch(`${system.gatewayUrl}/api/v1${path}`, {
    method,
    headers: { authorization: `Bearer ${token}`, ...json, ...options.headers },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const text = await response.text();
  answers.push(text);
  return { status: response.status, headers: response.headers, answer: text === "" ? undefined : JSON.parse(text) };
}

const put = (value: string, headers: object = {}, more: object = {}) =>
  api("PUT", "/secrets/bot-token", { body: { value, ...more }, headers });
const statusOf = async (id: string) =>
  (await api("GET", `/servers/${id}`)).answer as { status: string; reason: string };

/** What the environment of a server's process is. */
async function environmentOf(server: string): Promise<Record<string, string>> {
  const client = modernClient({ url: `${system.gatewayUrl}/mcp`, token: system.token });
  const { result, error } = (await client.request("tools/call", { name: `${server}__env`, arguments: {} })).last;
  if (result === undefined) throw new Error(JSON.stringify(error));
  return JSON.parse(result.content[0].text).env;
}

describe("a secret that is stored through the API", () => {
  test("starts the server that waits for it, and is in no other process", { timeout: 60_000 }, async () => {
    await eventually(async () => expect((await statusOf("keeper")).reason).toContain("PUT /api/v1/secrets/bot-token"));
    await eventually(async () => expect((await statusOf("other")).status).toBe("ready"));
    const { status, headers, answer } = await put(FIRST, { "if-none-match": "*" }, { description: "of the bot" });
    expect(status).toBe(201);
    expect(headers.get("location")).toBe("/api/v1/secrets/bot-token");
    expect(headers.get("etag")).toBe('"1"');
    expect(headers.get("cache-control")).toBe("no-store");
    expect(answer).toMatchObject({ name: "bot-token", version: 1, description: "of the bot", updatedBy: "admin" });
    await eventually(async () => expect((await environmentOf("keeper"))["BOT_TOKEN"]).toBe(FIRST));
    expect(JSON.stringify(await environmentOf("other"))).not.toContain(FIRST);
    await eventually(async () =>
      expect((await api("GET", "/secrets/bot-token")).answer).toMatchObject({
        usedBy: ["keeper"],
        store: "tollgate",
        problem: "",
      }),
    );
  });

  test("is replaced under calls; versions, use and rights are kept to", { timeout: 60_000 }, async () => {
    expect((await put(SECOND, { "if-none-match": "*" })).status).toBe(412);
    expect((await put(SECOND, { "if-match": '"7"' })).status).toBe(412);
    const changed = await put(SECOND, { "if-match": '"1"' }, { servers: ["keeper"] });
    expect([changed.status, changed.headers.get("etag")]).toEqual([200, '"2"']);
    // Whatever is asked meanwhile is answered, with the one or the other.
    await eventually(async () => {
      const value = (await environmentOf("keeper"))["BOT_TOKEN"];
      expect([FIRST, SECOND]).toContain(value);
      expect(value).toBe(SECOND);
    });
    const used = await api("DELETE", "/secrets/bot-token");
    expect(used).toMatchObject({ status: 409, answer: { detail: 'the secret "bot-token" is used by keeper' } });
    const cut = await put(SECOND, {}, { servers: ["other"] });
    expect(cut).toMatchObject({ status: 409, answer: { detail: expect.stringContaining("keeper would lose") } });

    const token = system.tokenOf("reader");
    expect((await api("GET", "/secrets", { token })).answer.items).toHaveLength(1);
    expect((await api("PUT", "/secrets/x", { token, body: { value: "y" } })).status).toBe(403);
    expect((await api("POST", "/secrets/rotate-keys", { token })).status).toBe(403);
    expect((await api("GET", "/secrets", { token: system.token })).status).toBe(403);
  });

  test("stays through kill -9 of the registry, and through a rotation", { timeout: 60_000 }, async () => {
    await system.kill("registry");
    expect((await environmentOf("keeper"))["BOT_TOKEN"]).toBe(SECOND);
    await system.start("registry");
    await eventually(async () => {
      const { status, answer } = await api("POST", "/secrets/rotate-keys");
      expect([status, answer]).toEqual([200, { rewrapped: 0, keyId: "k1" }]);
    });
    expect((await environmentOf("keeper"))["BOT_TOKEN"]).toBe(SECOND);
    expect((await put("large".repeat(20_000))).status).toBe(400);
    const broken = {
      method: "PUT",
      headers: { authorization: `Bearer ${system.adminToken}`, "content-type": "application/json" },
    };
    const refused = await fetch(`${system.gatewayUrl}/api/v1/secrets/bot-token`, {
      ...broken,
      body: `{"value": ${FIRST}}`,
    });
    expect(refused.status).toBe(400);
    expect(await refused.text()).not.toContain(FIRST.slice(0, 8));
    expect((await api("PUT", "/secrets/spare", { body: { value: "spare-value-of-nobody" } })).status).toBe(201);
    expect((await api("GET", "/secrets?sort=-name&q=spare")).answer.items).toMatchObject([{ name: "spare" }]);
    expect((await api("DELETE", "/secrets/spare", { headers: { "if-match": '"2"' } })).status).toBe(412);
    expect((await api("DELETE", "/secrets/spare")).status).toBe(204);
    expect((await api("GET", "/secrets/spare")).status).toBe(404);
  });

  test("is in no answer, no log and no event; each read and change is", async () => {
    const events = () => lines.map((line) => JSON.parse(line) as Record<string, any>);
    const reads = () => events().filter(({ kind, secret }) => kind === "secret" && secret === "bot-token");
    await eventually(() => {
      for (const purpose of ["assignment", "server_start"])
        expect(
          reads().filter((each) => each["purpose"] === purpose && each["server"] === "keeper").length,
        ).toBeGreaterThan(1);
      const changes = events().filter(({ resource, name }) => resource === "secret" && name === "spare");
      expect(changes.map(({ change }) => change)).toEqual(["created", "deleted"]);
      expect(events().some(({ resource }) => resource === "secret_key")).toBe(true);
    });
    expect(reads().every(({ server }) => server === "keeper")).toBe(true);
    const services = ["policy", "registry", "audit", "metering", "runner", "gateway"] as const;
    const texts = [...answers, ...lines, ...services.map((service) => system.output(service))].join("\n");
    for (const value of [FIRST, SECOND, "spare-value-of-nobody"]) expect(texts).not.toContain(value);
  });
});
