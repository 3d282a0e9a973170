import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Bus, connectBus, createEventPublisher, type EventPublisher } from "@tollgate/bus";
import { type AuditEvent, auditV1, type CallEvent } from "@tollgate/contracts";
import { callUnary, openGrpcClient, openLife, serviceMetadata } from "@tollgate/service";
import {
  callEvent,
  createAuthority,
  eventually,
  refusalEvent,
  type ServiceProcess,
  startService,
  type TestAuthority,
  testLog,
  useInfrastructure,
} from "@tollgate/testkit";
import pg from "pg";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { configSchema } from "../src/config.ts";
import { type AuditService, startAudit } from "../src/service.ts";
import { type HttpReceiver, openHttpReceiver, openSyslogReceiver, type SyslogReceiver } from "./receivers.ts";
import { parseCef, parseSyslog } from "./siem-parsers.ts";

const infra = useInfrastructure();
const life = openLife(testLog);
const SECRET = "collector-token-0123456789";
const PATIENCE = { timeoutMs: 20_000 };
let folder: string;
let file: string;
let bus: Bus;
let publisher: EventPublisher;
let admin: pg.Client;
let authority: TestAuthority;

/** Of one test. */
let closers: (() => Promise<unknown>)[] = [];
let service: AuditService;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "tollgate-exports-"));
  file = join(folder, "tollgate.yaml");
  authority = await createAuthority();
  await writeFile(join(folder, "ca.pem"), authority.cert);
  const { natsUrl: url, busPrefix: prefix } = infra;
  bus = await connectBus({ url, name: "test", prefix, log: testLog, signal: life.signal });
  life.onClose("bus", 5_000, () => bus.drain());
  publisher = createEventPublisher(bus, { waitingMax: 10_000, timeoutMs: 10_000 });
  admin = new pg.Client({ connectionString: infra.adminUrl });
  await admin.connect();
  life.onClose("admin", 5_000, () => admin.end());
});
beforeEach(() => configure([]));
afterEach(async () => {
  for (const close of closers.toReversed()) await close();
  closers = [];
});
afterAll(async () => {
  await life.close();
  await rm(folder, { recursive: true, force: true });
});

async function configure(exports: readonly object[]): Promise<void> {
  await writeFile(file, JSON.stringify({ audit: { exports } }));
}

const settings = () => ({
  serviceKey: infra.serviceKey,
  natsUrl: infra.natsUrl,
  busPrefix: infra.busPrefix,
  databaseUrl: infra.databaseUrl("audit"),
  signingSecret: infra.signingSecret,
  configFile: file,
  batchWaitMs: 20,
});

async function start(): Promise<auditV1.AuditServiceClient> {
  const config = configSchema.parse({ ...settings(), httpPort: 0, grpcPort: 0 });
  service = await startAudit({ ...config, env: { COLLECTOR_TOKEN: SECRET } }, testLog);
  closers.push(() => service.close());
  const clientLife = openLife(testLog);
  closers.push(() => clientLife.close());
  const address = `127.0.0.1:${service.grpcPort}` as const;
  return openGrpcClient(auditV1.AuditServiceClient, { address, name: "audit", life: clientLife });
}

const unary = { metadata: serviceMetadata(infra.serviceKey), timeoutMs: 10_000, service: "audit" };

async function exportsOf(client: auditV1.AuditServiceClient): Promise<auditV1.Export[]> {
  return (await callUnary(client.listExports.bind(client), {}, unary)).exports;
}

async function syslogReceiver(...tls: Parameters<typeof openSyslogReceiver>): Promise<SyslogReceiver> {
  const receiver = await openSyslogReceiver(...tls);
  closers.push(() => receiver.stop());
  return receiver;
}

async function httpReceiver(...given: Parameters<typeof openHttpReceiver>): Promise<HttpReceiver> {
  const receiver = await openHttpReceiver(...given);
  closers.push(() => receiver.close());
  return receiver;
}

/** One message for each event, in order. */
async function publish(count: number, fields: Partial<CallEvent> = {}): Promise<CallEvent[]> {
  const events = Array.from({ length: count }, () => callEvent(fields));
  for (const event of events) await bus.js.publish(bus.subjects.audit(event.tenant, "call"), JSON.stringify(event));
  return events;
}

const idsOf = (events: readonly AuditEvent[]): string[] => events.map(({ id }) => id);

const syslogIds = (receiver: SyslogReceiver): string[] =>
  receiver.messages.map((message) => parseSyslog(message).data["tollgate@32473"]!["id"]!);

/** The lines of all requests that were answered with 2xx. */
const linesOf = (receiver: HttpReceiver): string[] =>
  receiver.requests.flatMap(({ body, status }) => (status >= 200 && status < 300 ? body.trimEnd().split("\n") : []));

/** Each once, at its first place. */
const once = (ids: readonly string[]): string[] => [...new Set(ids)];

const http = (receiver: HttpReceiver, more: object = {}) => ({
  id: "lake",
  type: "http",
  url: `http://127.0.0.1:${receiver.port}/in`,
  batch_wait: 0.05,
  // Not the changes of the exports themselves.
  kinds: ["call"],
  ...more,
});
const syslog = (receiver: SyslogReceiver, more: object = {}) => ({
  id: "siem",
  type: "syslog",
  url: `tcp://127.0.0.1:${receiver.port}`,
  batch_wait: 0.05,
  kinds: ["call"],
  ...more,
});

/** An export that is new begins where the stream is when it is first read. */
async function followed(id: string): Promise<void> {
  await eventually(async () => {
    const consumers = await bus.jsm.consumers.list(bus.subjects.streams.audit).next();
    expect(consumers.map(({ name }) => name.replace(/_\d+$/, ""))).toContain(`export-${id}`);
  }, PATIENCE);
}

describe("each type", () => {
  it("syslog over TLS: every event, in order, with its line; a receiver that is not the one it claims gets nothing", async () => {
    const { cert, key } = await authority.server();
    const right = await syslogReceiver({ cert, key });
    const stranger = await (await createAuthority()).server();
    const wrong = await syslogReceiver({ cert: stranger.cert, key: stranger.key });
    const tls = (receiver: SyslogReceiver, id: string) =>
      syslog(receiver, { id, url: `tls://localhost:${receiver.port}`, tls: { ca_file: "ca.pem" } });
    await configure([tls(right, "right"), tls(wrong, "wrong")]);
    const client = await start();
    await followed("right");
    await followed("wrong");
    const events = await publish(300);
    await eventually(() => expect(syslogIds(right)).toEqual(idsOf(events)), PATIENCE);
    expect(right.messages.map((message) => parseSyslog(message).text)).toEqual(
      events.map((each) => JSON.stringify(each)),
    );
    await eventually(async () => {
      const [good, bad] = await exportsOf(client);
      expect(good).toMatchObject({ id: "right", type: "syslog", lag: 0n, sent: 300n, problem: "" });
      expect(bad).toMatchObject({ lag: 300n, sent: 0n, problem: expect.stringMatching(/certificate/) });
    }, PATIENCE);
    expect(wrong.messages).toEqual([]);
  });

  it("CEF over TCP: what is wanted, of an export that begins with the past", async () => {
    const receiver = await syslogReceiver();
    const old = await publish(2, { tenant: "past", outcome: "timeout" });
    await publish(2, { tenant: "past" });
    const wanted = {
      id: "arcsight",
      kinds: [],
      type: "cef",
      tenants: ["past"],
      outcomes: ["timeout", "denied"],
      from: "beginning",
    };
    await configure([syslog(receiver, wanted)]);
    await start();
    const refusal = refusalEvent({ tenant: "past", reason: "a=b | c" });
    await publisher.publish(refusal);
    await eventually(() => expect(receiver.messages).toHaveLength(3), PATIENCE);
    const events = receiver.messages.map((message) => parseCef(parseSyslog(message).text));
    expect(events.map(({ extension }) => extension["externalId"])).toEqual([...idsOf(old), refusal.id]);
    expect(events[2]).toMatchObject({
      header: expect.arrayContaining(["refusal.denied"]),
      extension: { reason: "a=b | c" },
    });
  });

  it("HTTP: NDJSON, compressed, with headers; tried again after 500 and 429, and not sent elsewhere", async () => {
    const elsewhere = await httpReceiver(() => ({ status: 200 }));
    const answers = [500, 429, 307];
    const receiver = await httpReceiver(() => {
      const status = answers.shift() ?? 204;
      const location = `http://127.0.0.1:${elsewhere.port}/`;
      return { status, headers: status === 307 ? { location, "retry-after": "0" } : {} };
    });
    await configure([http(receiver, { headers: { authorization: "Bearer ${COLLECTOR_TOKEN}" }, gzip: true })]);
    await start();
    await followed("lake");
    const events = await publish(40);
    await eventually(() => expect(linesOf(receiver)).toEqual(events.map((each) => JSON.stringify(each))), PATIENCE);
    expect(receiver.requests.map(({ status }) => status).slice(0, 3)).toEqual([500, 429, 307]);
    const { headers, path } = receiver.requests[0]!;
    expect(path).toBe("/in");
    expect(headers).toMatchObject({
      authorization: `Bearer ${SECRET}`,
      "content-type": "application/x-ndjson",
      "content-encoding": "gzip",
    });
    expect(elsewhere.requests).toEqual([]);
  });

  it("OTLP: waits as long as it is asked to, and does not send again what was rejected for good", async () => {
    const answers = [
      { status: 503, headers: { "retry-after": "1" } },
      { status: 200, body: '{"partialSuccess":{"rejectedLogRecords":"2","errorMessage":"too old"}}' },
    ];
    const receiver = await httpReceiver(() => answers.shift() ?? { status: 200, body: "{}" });
    await configure([http(receiver, { id: "otel", type: "otlp", url: `http://127.0.0.1:${receiver.port}/v1/logs` })]);
    const client = await start();
    await followed("otel");
    const first = await publish(5);
    await eventually(async () => {
      expect(await exportsOf(client)).toMatchObject([
        { lag: 0n, sent: 3n, problem: "2 events were rejected for good: too old" },
      ]);
    }, PATIENCE);
    const more = await publish(1);
    await eventually(async () => expect(await exportsOf(client)).toMatchObject([{ sent: 4n, problem: "" }]), PATIENCE);
    const bodies = receiver.requests.map(({ body }) => JSON.parse(body).resourceLogs[0].scopeLogs[0].logRecords);
    const lines = bodies.map((records) =>
      records.map((record: { body: { stringValue: string } }) => record.body.stringValue),
    );
    const given = [first, more].map((events) => events.map((each) => JSON.stringify(each)));
    expect(lines).toEqual([given[0], given[0], given[1]]);
    const metrics = await (await fetch(`http://127.0.0.1:${service.httpPort}/metrics`)).text();
    expect(metrics).toMatch(/^tollgate_audit_export_rejected_total\{export="otel"\} 2$/m);
    expect(metrics).toMatch(/^tollgate_audit_export_sent_total\{export="otel"\} 4$/m);
  });
});

describe("nothing is lost", () => {
  it("when the receiver is away, hangs, or dies with what it has not read; others are not delayed", async () => {
    const slow = await syslogReceiver();
    const fast = await syslogReceiver();
    const one = { batch_max: 50, timeout: 2 };
    await configure([syslog(slow, { id: "slow", ...one }), syslog(fast, { id: "fast", ...one })]);
    const client = await start();
    await followed("slow");
    await followed("fast");
    const events = await publish(60);
    await eventually(() => expect(once(syslogIds(slow))).toEqual(idsOf(events)), PATIENCE);
    slow.stall(true);
    events.push(...(await publish(200)));
    await eventually(() => expect(syslogIds(fast)).toEqual(idsOf(events)), PATIENCE);
    await eventually(async () => {
      const [stalled] = await exportsOf(client);
      expect(stalled).toMatchObject({ lag: 200n, problem: expect.stringContaining("within 2000 ms") });
    }, PATIENCE);
    await slow.stop();
    slow.stall(false);
    events.push(...(await publish(100)));
    await eventually(async () => {
      const [away] = await exportsOf(client);
      expect(away).toMatchObject({ lag: 300n, problem: expect.stringContaining("ECONNREFUSED") });
    }, PATIENCE);
    // Recorded all the same.
    await eventually(async () => {
      const { rows } = await admin.query("SELECT FROM audit.events WHERE id = ANY ($1)", [idsOf(events)]);
      expect(rows).toHaveLength(360);
    }, PATIENCE);
    await slow.start();
    await eventually(() => expect(once(syslogIds(slow))).toEqual(idsOf(events)), { timeoutMs: 60_000 });
    await eventually(async () => {
      expect(await exportsOf(client)).toMatchObject([
        { lag: 0n, problem: "" },
        { lag: 0n, problem: "" },
      ]);
    }, PATIENCE);
  }, 120_000);

  it("when the service is killed in the middle", async () => {
    let isOpen = false;
    // One batch is taken, and then the service waits for an answer.
    const receiver = await httpReceiver(() => (isOpen ? { status: 200 } : undefined));
    await configure([http(receiver, { batch_max: 64, from: "beginning", tenants: ["killed"] })]);
    let process: ServiceProcess | undefined = await startProcess();
    closers.push(async () => process?.stop("SIGTERM"));
    const events = await publish(500, { tenant: "killed" });
    await eventually(() => expect(receiver.requests.length).toBeGreaterThan(0), PATIENCE);
    isOpen = true;
    await process.stop("SIGKILL");
    process = undefined;
    process = await startProcess();
    await eventually(
      () => expect(once(linesOf(receiver).map((line) => JSON.parse(line).id))).toEqual(idsOf(events)),
      PATIENCE,
    );
    await process.stop("SIGKILL");
    process = undefined;
    const later = await publish(100, { tenant: "killed" });
    process = await startProcess();
    await eventually(
      () => expect(once(linesOf(receiver).map((line) => JSON.parse(line).id))).toEqual(idsOf([...events, ...later])),
      PATIENCE,
    );
    // What was acknowledged before does not come again: at most the batch that was under way.
    expect(linesOf(receiver).length).toBeLessThanOrEqual(600 + 2 * 64);
  }, 60_000);

  it("when its place on the stream is lost", async () => {
    const receiver = await httpReceiver(() => ({ status: 200 }));
    await configure([http(receiver, { id: "lost" })]);
    await start();
    await followed("lost");
    const events = await publish(10);
    await eventually(() => expect(linesOf(receiver)).toHaveLength(10), PATIENCE);
    for (const { name } of await bus.jsm.consumers.list(bus.subjects.streams.audit).next())
      if (name.startsWith("export-lost_")) await bus.jsm.consumers.delete(bus.subjects.streams.audit, name);
    events.push(...(await publish(10)));
    await eventually(
      () => expect(once(linesOf(receiver).map((line) => JSON.parse(line).id))).toEqual(idsOf(events)),
      PATIENCE,
    );
  });
});

async function startProcess(): Promise<ServiceProcess> {
  const variables = Object.entries(settings()).map(([key, value]) => [
    `TOLLGATE_${key.replaceAll(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase()}`,
    String(value),
  ]);
  const env = Object.fromEntries(variables) as Record<string, string>;
  return startService("audit", {
    ...env,
    TOLLGATE_HTTP_PORT: "0",
    TOLLGATE_GRPC_PORT: "0",
    TOLLGATE_LOG_LEVEL: "warn",
  });
}

describe("the file", () => {
  it("is followed: what changes, changes at once and keeps its place; each change is an event without secrets", async () => {
    const first = await httpReceiver(() => ({ status: 400 }));
    const second = await httpReceiver(() => ({ status: 200 }));
    const token = { headers: { authorization: "Bearer ${COLLECTOR_TOKEN}" } };
    const client = await start();
    await configure([http(first, { id: "moved", tenants: ["moved"], ...token })]);
    await followed("moved");
    const events = await publish(20, { tenant: "moved" });
    await eventually(async () => {
      const problem = "the receiver has answered 400";
      expect(await exportsOf(client)).toMatchObject([{ lag: 20n, problem }]);
    }, PATIENCE);
    await configure([http(second, { id: "moved", tenants: ["moved"], ...token })]);
    await eventually(() => expect(linesOf(second)).toEqual(events.map((each) => JSON.stringify(each))), PATIENCE);
    await configure([]);
    await eventually(async () => expect(await exportsOf(client)).toEqual([]), PATIENCE);
    await publish(5, { tenant: "moved" });

    const changes = await eventually(async () => {
      const { rows } = await admin.query<{ event: string }>(
        "SELECT event FROM audit.events WHERE kind = 'change' AND event LIKE '%\"name\":\"moved\"%' ORDER BY number",
      );
      expect(rows).toHaveLength(3);
      return rows.map(({ event }) => event);
    }, PATIENCE);
    expect(changes.map((event) => JSON.parse(event))).toMatchObject([
      { change: "created", resource: "export", principal: "file", after: { id: "moved", headers: ["authorization"] } },
      {
        change: "updated",
        before: { address: `http://127.0.0.1:${first.port}` },
        after: { address: expect.any(String) },
      },
      { change: "deleted", before: { address: `http://127.0.0.1:${second.port}` } },
    ]);
    expect(changes.join("")).not.toContain(SECRET);
    const { rows } = await admin.query("SELECT to_jsonb(e) AS row FROM audit.exports e");
    expect(JSON.stringify(rows)).not.toContain(SECRET);
    // Its place is gone with it, and nobody was sent what came afterwards.
    await eventually(async () => {
      const left = await bus.jsm.consumers.list(bus.subjects.streams.audit).next();
      expect(left.filter(({ name }) => name.startsWith("export-moved_"))).toEqual([]);
    }, PATIENCE);
    expect(linesOf(second)).toHaveLength(20);
  });
});
