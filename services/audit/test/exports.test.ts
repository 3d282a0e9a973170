import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createEventPublisher } from "@tollgate/bus";
import { createAuthority, eventually, refusalEvent, type TestAuthority, useInfrastructure } from "@tollgate/testkit";
import { beforeAll, describe, expect, it } from "vitest";
import {
  httpExport,
  idsOf,
  linesOf,
  PATIENCE,
  receivedIds,
  SECRET,
  syslogExport,
  unique,
  useExporting,
} from "./exporting.ts";
import type { SyslogReceiver } from "./receivers.ts";
import { parseCef, parseSyslog } from "./siem-parsers.ts";

const exporting = useExporting(useInfrastructure());
const { configure, publish, publishTogether, followed, start, startProcess, syslogReceiver, httpReceiver } = exporting;
let authority: TestAuthority;

beforeAll(async () => {
  authority = await createAuthority();
  await writeFile(join(exporting.folder, "ca.pem"), authority.cert);
});

const syslogIds = (receiver: SyslogReceiver): string[] =>
  receiver.messages.map((message) => parseSyslog(message).data["tollgate@32473"]!["id"]!);

describe("each type", () => {
  it("syslog over TLS: every event, in order, with its line; a receiver that is not the one it claims gets nothing", async () => {
    const { cert, key } = await authority.server();
    const right = await syslogReceiver({ cert, key });
    const stranger = await (await createAuthority()).server();
    const wrong = await syslogReceiver({ cert: stranger.cert, key: stranger.key });
    const tls = (receiver: SyslogReceiver, id: string) =>
      syslogExport(receiver, { id, url: `tls://localhost:${receiver.port}`, tls: { ca_file: "ca.pem" } });
    await configure([tls(right, "right"), tls(wrong, "wrong")]);
    const audit = await start();
    await followed("right");
    await followed("wrong");
    const events = await publish(300);
    await eventually(() => expect(syslogIds(right)).toEqual(idsOf(events)), PATIENCE);
    expect(right.messages.map((message) => parseSyslog(message).text)).toEqual(
      events.map((each) => JSON.stringify(each)),
    );
    await eventually(async () => {
      const [good, bad] = await audit.exports();
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
    await configure([syslogExport(receiver, wanted)]);
    await start();
    const refusal = refusalEvent({ tenant: "past", reason: "a=b | c" });
    const publisher = createEventPublisher(exporting.bus, { waitingMax: 10, timeoutMs: 5_000 });
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
    await configure([httpExport(receiver, { headers: { authorization: "Bearer ${COLLECTOR_TOKEN}" }, gzip: true })]);
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

  it("HTTPS: a receiver that asks for a certificate is shown the export's", async () => {
    const { cert, key } = await authority.server();
    const own = await authority.client({ commonName: "tollgate" });
    await writeFile(join(exporting.folder, "own-cert.pem"), own.cert);
    await writeFile(join(exporting.folder, "own-key.pem"), own.key);
    const receiver = await httpReceiver(() => ({ status: 200 }), { cert, key, ca: authority.cert, requestCert: true });
    const url = `https://localhost:${receiver.port}/in`;
    const tls = { ca_file: "ca.pem", cert_file: "own-cert.pem", key_file: "own-key.pem" };
    const stranger = httpExport(receiver, { id: "stranger", url, tls: { ca_file: "ca.pem" } });
    await configure([httpExport(receiver, { id: "known", url, tls }), stranger]);
    const audit = await start();
    await followed("known");
    await followed("stranger");
    const events = await publish(3);
    await eventually(() => expect(linesOf(receiver)).toEqual(events.map((each) => JSON.stringify(each))), PATIENCE);
    await eventually(async () => {
      expect(await audit.exports()).toMatchObject([
        { problem: "" },
        { lag: 3n, problem: expect.stringContaining("certificate") },
      ]);
    }, PATIENCE);
  });

  it("OTLP: waits as long as it is asked to, and does not send again what was rejected for good", async () => {
    const answers = [
      { status: 503, headers: { "retry-after": "1" } },
      { status: 200, body: '{"partialSuccess":{"rejectedLogRecords":"2","errorMessage":"too old"}}' },
    ];
    const receiver = await httpReceiver(() => answers.shift() ?? { status: 200, body: "{}" });
    await configure([
      httpExport(receiver, { id: "otel", type: "otlp", url: `http://127.0.0.1:${receiver.port}/v1/logs` }),
    ]);
    const audit = await start();
    await followed("otel");
    const first = await publishTogether(5);
    await eventually(async () => {
      expect(await audit.exports()).toMatchObject([
        { lag: 0n, sent: 3n, problem: "2 events were rejected for good: too old" },
      ]);
    }, PATIENCE);
    const more = await publish(1);
    await eventually(async () => expect(await audit.exports()).toMatchObject([{ sent: 4n, problem: "" }]), PATIENCE);
    const bodies = receiver.requests.map(({ body }) => JSON.parse(body).resourceLogs[0].scopeLogs[0].logRecords);
    const lines = bodies.map((records) =>
      records.map((record: { body: { stringValue: string } }) => record.body.stringValue),
    );
    const given = [first, more].map((events) => events.map((each) => JSON.stringify(each)));
    expect(lines).toEqual([given[0], given[0], given[1]]);
    const metrics = await (await fetch(`http://127.0.0.1:${audit.httpPort}/metrics`)).text();
    expect(metrics).toMatch(/^tollgate_audit_export_rejected_total\{export="otel"\} 2$/m);
    expect(metrics).toMatch(/^tollgate_audit_export_sent_total\{export="otel"\} 4$/m);
  });
});

describe("nothing is lost", () => {
  it("when the receiver is away, hangs, or dies with what it has not read; others are not delayed", async () => {
    const slow = await syslogReceiver();
    const fast = await syslogReceiver();
    const one = { batch_max: 50, timeout: 2 };
    await configure([syslogExport(slow, { id: "slow", ...one }), syslogExport(fast, { id: "fast", ...one })]);
    const audit = await start();
    await followed("slow");
    await followed("fast");
    const events = await publish(60);
    await eventually(() => expect(unique(syslogIds(slow))).toEqual(idsOf(events)), PATIENCE);
    slow.stall(true);
    events.push(...(await publish(200)));
    await eventually(() => expect(syslogIds(fast)).toEqual(idsOf(events)), PATIENCE);
    await eventually(async () => {
      const [stalled] = await audit.exports();
      expect(stalled).toMatchObject({ lag: 200n, problem: expect.stringContaining("within 2000 ms") });
    }, PATIENCE);
    await slow.stop();
    slow.stall(false);
    events.push(...(await publish(100)));
    await eventually(async () => {
      const [away] = await audit.exports();
      expect(away).toMatchObject({ lag: 300n, problem: expect.stringContaining("ECONNREFUSED") });
    }, PATIENCE);
    // Recorded all the same.
    await eventually(async () => {
      const { rows } = await exporting.admin.query("SELECT FROM audit.events WHERE id = ANY ($1)", [idsOf(events)]);
      expect(rows).toHaveLength(360);
    }, PATIENCE);
    await slow.start();
    await eventually(() => expect(unique(syslogIds(slow))).toEqual(idsOf(events)), { timeoutMs: 60_000 });
    await eventually(async () => {
      expect(await audit.exports()).toMatchObject([
        { lag: 0n, problem: "" },
        { lag: 0n, problem: "" },
      ]);
    }, PATIENCE);
  }, 120_000);

  it("when the service is killed in the middle", async () => {
    let isOpen = false;
    // One batch is taken, and then the service waits for an answer.
    const receiver = await httpReceiver(() => (isOpen ? { status: 200 } : undefined));
    await configure([httpExport(receiver, { batch_max: 64, from: "beginning", tenants: ["killed"] })]);
    const first = await startProcess();
    const events = await publish(500, { tenant: "killed" });
    await eventually(() => expect(receiver.requests.length).toBeGreaterThan(0), PATIENCE);
    isOpen = true;
    await first.stop("SIGKILL");
    const second = await startProcess();
    await eventually(() => expect(receivedIds(receiver)).toEqual(idsOf(events)), PATIENCE);
    await second.stop("SIGKILL");
    const later = await publish(100, { tenant: "killed" });
    await startProcess();
    await eventually(() => expect(receivedIds(receiver)).toEqual(idsOf([...events, ...later])), PATIENCE);
    // What was acknowledged before does not come again: at most the batch that was under way.
    expect(linesOf(receiver).length).toBeLessThanOrEqual(600 + 2 * 64);
  }, 60_000);

  it("when its place on the stream is lost", async () => {
    const receiver = await httpReceiver(() => ({ status: 200 }));
    await configure([httpExport(receiver, { id: "lost" })]);
    await start();
    await followed("lost");
    const events = await publish(10);
    await eventually(() => expect(linesOf(receiver)).toHaveLength(10), PATIENCE);
    for (const { name } of await exporting.bus.jsm.consumers.list(exporting.bus.subjects.streams.audit).next())
      if (name.startsWith("export-lost_"))
        await exporting.bus.jsm.consumers.delete(exporting.bus.subjects.streams.audit, name);
    events.push(...(await publish(10)));
    await eventually(() => expect(receivedIds(receiver)).toEqual(idsOf(events)), PATIENCE);
  });
});

describe("the file", () => {
  it("is followed: what changes, changes at once and keeps its place; each change is an event without secrets", async () => {
    const first = await httpReceiver(() => ({ status: 400 }));
    const second = await httpReceiver(() => ({ status: 200 }));
    const token = { headers: { authorization: "Bearer ${COLLECTOR_TOKEN}" } };
    const audit = await start();
    await configure([httpExport(first, { id: "moved", tenants: ["moved"], ...token })]);
    await followed("moved");
    const events = await publish(20, { tenant: "moved" });
    await eventually(async () => {
      const problem = "the receiver has answered 400";
      expect(await audit.exports()).toMatchObject([{ lag: 20n, problem }]);
    }, PATIENCE);
    await configure([httpExport(second, { id: "moved", tenants: ["moved"], ...token })]);
    await eventually(() => expect(linesOf(second)).toEqual(events.map((each) => JSON.stringify(each))), PATIENCE);
    await configure([]);
    await eventually(async () => expect(await audit.exports()).toEqual([]), PATIENCE);
    await publish(5, { tenant: "moved" });

    const changes = await eventually(async () => {
      const { rows } = await exporting.admin.query<{ event: string }>(
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
    const { rows } = await exporting.admin.query("SELECT to_jsonb(e) AS row FROM audit.exports e");
    expect(JSON.stringify(rows)).not.toContain(SECRET);
    // Its place is gone with it, and nobody was sent what came afterwards.
    await eventually(async () => {
      const left = await exporting.bus.jsm.consumers.list(exporting.bus.subjects.streams.audit).next();
      expect(left.filter(({ name }) => name.startsWith("export-moved_"))).toEqual([]);
    }, PATIENCE);
    expect(linesOf(second)).toHaveLength(20);
  });
});
