import { connectBus } from "@tollgate/bus";
import type { AuditEvent } from "@tollgate/contracts";
import { openLife } from "@tollgate/service";
import { eventually, fixtureServer, modernClient, testLog, useInfrastructure, useSystem } from "@tollgate/testkit";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openEventSchema } from "./event-schema.ts";

// What a whole installation writes down of itself: recordings, secrets, servers, and that each event is what
// docs/events.schema.json says.

const SECRET = "correct-horse-battery-staple";
const secrets = await mkdtemp(join(tmpdir(), "tollgate-secrets-"));
const infra = useInfrastructure();
const system = useSystem(infra, {
  yaml: `
groups: [{ id: demo }]
mcp_servers:
  - { id: files, group: demo, type: node, command: ${fixtureServer}, env: { API_KEY: "\${secret:api-key}" } }
  - { id: plain, group: demo, type: node, command: ${fixtureServer} }
  - { id: risky, group: demo, type: node, command: ${fixtureServer}, risk: MEDIUM }
  - { id: absent, group: demo, type: command, command: /no/such }
risk_levels: { MEDIUM: { record: result } }
policies:
  - { name: kept, effect: allow, principals: ["*"], actions: ["*"], resources: ["files:*"], record: [arguments, result] }
  - { name: plain, effect: allow, principals: ["*"], actions: ["*"], resources: ["plain:*", "risky:*"] }
  - name: cedar
    cedar: |
      @record("arguments")
      permit (principal, action in Action::"mcp", resource) when { resource.name == "sleep" };
  - { name: auditors, effect: allow, principals: ["token:auditor"], actions: ["admin/audit/read"], resources: ["*"] }
  - { name: readers, effect: allow, principals: ["token:reader"], actions: ["admin/recordings/read"], resources: ["*"] }
`,
  colleagues: ["auditor"],
  tenants: ["reader"],
  env: { registry: { TOLLGATE_SECRETS_DIR: secrets } },
});
const life = openLife(testLog);
const lines: string[] = [];
const events = () => lines.map((line) => JSON.parse(line) as AuditEvent & Record<string, any>);
const ofKind = (kind: string) => events().filter((event) => event.kind === kind);

await writeFile(join(secrets, "api-key"), `${SECRET}\n`);
afterAll(() => rm(secrets, { recursive: true }));
afterAll(() => life.close());

beforeAll(async () => {
  const { natsUrl: url, busPrefix: prefix } = infra;
  const bus = await connectBus({ url, name: "test", prefix, log: testLog, signal: life.signal });
  life.onClose("bus", 5_000, () => bus.drain());
  const messages = await (await bus.js.consumers.get(bus.subjects.streams.audit)).consume();
  life.onClose("messages", 1_000, () => messages.stop());
  void (async () => {
    for await (const message of messages) lines.push(...message.string().split("\n"));
  })();
  await eventually(async () => {
    const { body } = await api("/api/v1/servers", system.adminToken);
    expect(body.items.map(({ status }: any) => status).toSorted()).toEqual(["ready", "ready", "ready", "unavailable"]);
  });
});

async function api(path: string, token: string, init: RequestInit = {}): Promise<{ status: number; body: any }> {
  const headers = { authorization: `Bearer ${token}`, "content-type": "application/json" };
  const response = await fetch(`${system.gatewayUrl}${path}`, { ...init, headers });
  return { status: response.status, body: await response.json() };
}

/** The event of a call that was made now. */
async function call(name: string, args: object): Promise<Record<string, any>> {
  const known = new Set(ofKind("call").map(({ id }) => id));
  const client = modernClient({ url: `${system.gatewayUrl}/mcp`, token: system.token });
  await client.request("tools/call", { name, arguments: args });
  return eventually(() => {
    const fresh = ofKind("call").filter(({ id }) => !known.has(id));
    expect(fresh).toHaveLength(1);
    return fresh[0]!;
  });
}

const recordingOf = (id: string, token = system.adminToken) => api(`/api/v1/audit/events/${id}/recording`, token);
const recorded = (id: string) =>
  eventually(async () => {
    const answer = await recordingOf(id);
    expect(answer.status).toBe(200);
    return answer.body;
  });

describe("a recording", () => {
  test("is kept where a policy asks for it, and read by whoever may", async () => {
    const { id, argumentsHash } = await call("files__echo", { message: "hidden words", n: 1 });
    expect(argumentsHash).toMatch(/^k1:[0-9a-f]{64}$/);
    expect(await recorded(id)).toMatchObject({
      id,
      keyId: "k1",
      arguments: { message: "hidden words", n: 1 },
      result: { content: [{ text: "hidden words" }] },
      omitted: [],
    });
    expect(lines.join("\n")).not.toContain("hidden words");
    const { principal } = ofKind("secret").find(({ purpose }) => purpose === "recording")!;
    expect(principal).toBe("admin");
    await eventually(() =>
      expect(ofKind("access").filter(({ action }) => action === "recording")).toContainEqual(
        expect.objectContaining({ principal: "admin", query: { id }, count: 1 }),
      ),
    );
  });

  test("is not read by who may read the record, nor by another tenant", async () => {
    const { id } = await call("files__echo", { message: "hidden words" });
    await recorded(id);
    expect((await api(`/api/v1/audit/events?id=${id}`, system.tokenOf("auditor"))).body.items).toHaveLength(1);
    expect((await recordingOf(id, system.tokenOf("auditor"))).status).toBe(403);
    expect((await recordingOf(id, system.tokenOf("reader"))).status).toBe(404);
    expect((await api(`/api/v1/audit/events/${id}/recording?tenant=acme`, system.tokenOf("reader"))).status).toBe(403);
  });

  test("is not there where nobody asks for it", async () => {
    const { id, recorded: kept } = await call("plain__echo", { message: "m" });
    expect(kept).toBeUndefined();
    await eventually(async () => expect((await recordingOf(id)).status).toBe(409));
    expect((await recordingOf("nobody")).status).toBe(404);
  });

  test("is of what the risk and an annotation in Cedar ask for", async () => {
    const risky = await call("risky__echo", { message: "m" });
    expect(Object.keys(risky["recorded"]).toSorted()).toEqual(["keyId", "result"]);
    const slow = await call("plain__sleep", { ms: 1 });
    expect(Object.keys(slow["recorded"]).toSorted()).toEqual(["arguments", "keyId"]);
  });
});

describe("on the stream is", () => {
  test("that a server's start has read its secrets, and never the secret", async () => {
    await call("files__echo", { message: "m" });
    await eventually(() =>
      expect(ofKind("secret")).toContainEqual(
        expect.objectContaining({ secret: "api-key", purpose: "server_start", group: "demo", server: "files" }),
      ),
    );
    expect(ofKind("secret").filter(({ server }) => server === "plain")).toEqual([]);
    expect(lines.join("\n")).not.toContain(SECRET);
  });

  test("what becomes of servers", async () => {
    const known = ofKind("server").map(({ server, state }) => `${server} ${state}`);
    expect(known).toContain("plain started");
    expect(known).toContain("absent failed_to_start");
    await call("plain__crash", {});
    await eventually(() =>
      expect(ofKind("server")).toContainEqual(
        expect.objectContaining({ server: "plain", state: "died", tenant: "acme", reason: "exited with code 3" }),
      ),
    );
  });

  test("nothing but events as docs/events.schema.json has them", async () => {
    await fetch(`${system.gatewayUrl}/api/v1/servers`, { headers: { authorization: "Bearer nobody" } });
    const limit = { match: { tools: ["plain:echo"] }, per: ["tenant"], rate: { calls: 100, per: "minute" } };
    await api("/api/v1/limits/l", system.adminToken, { method: "PUT", body: JSON.stringify(limit) });
    await call("risky__fail", {});
    await eventually(() =>
      expect(new Set(ofKind("refusal").map(({ code }) => code))).toEqual(new Set(["unauthenticated", "denied"])),
    );
    const { problemsOf } = openEventSchema();
    for (const event of events()) expect([event, problemsOf(event)]).toEqual([event, []]);
    const kinds = new Set(events().map(({ kind }) => kind));
    for (const kind of ["call", "refusal", "change", "secret", "server", "access"] satisfies AuditEvent["kind"][])
      expect(kinds).toContain(kind);
  });
});
