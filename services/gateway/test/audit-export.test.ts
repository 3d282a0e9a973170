import { once } from "node:events";
import { get, type IncomingMessage } from "node:http";
import { readPastEvents } from "@tollgate/bus";
import { type AccessEvent, auditV1, type CallEvent } from "@tollgate/contracts";
import { AppError } from "@tollgate/errors";
import { openLife, serverStream, startGrpcServer, unary } from "@tollgate/service";
import { callEvent, eventually, refusalEvent, testLog } from "@tollgate/testkit";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { principal } from "./controlled-policy.ts";
import { useInstallation } from "./installation.ts";

/** Far more than all buffers on the way. */
const ENDLESS = 100_000;
const PAGE = 200;

const life = openLife(testLog);
const settings: Record<string, string> = {};
let exported: auditV1.ExportEventsRequest[] = [];
let listed: auditV1.ListEventsRequest[] = [];
/** What audit answers. */
let lines: readonly string[] = [];
let given = 0;
let ended = 0;
let failAfter = Infinity;

beforeAll(async () => {
  const implementation = {
    listEvents: unary(testLog, (request: auditV1.ListEventsRequest) => {
      listed.push(request);
      return { events: [...lines], nextCursor: "next" };
    }),
    exportEvents: serverStream(testLog, async function* (request: auditV1.ExportEventsRequest) {
      exported.push(request);
      try {
        for (let at = 0; at < lines.length; at += PAGE) {
          if (given >= failAfter) throw new AppError("unavailable", "the database is gone");
          yield { events: lines.slice(at, at + PAGE) };
          given += PAGE;
        }
      } finally {
        ended += 1;
      }
    }),
  } as unknown as auditV1.AuditServiceServer;
  const services = [{ definition: auditV1.AuditServiceService, implementation }];
  const serviceKey = installation.serviceKey;
  const { port } = await startGrpcServer({ host: "127.0.0.1", port: 0, serviceKey, services, life });
  settings["auditAddress"] = `127.0.0.1:${port}`;
});
const installation = useInstallation({ settings });
afterAll(() => life.close());

beforeAll(() => {
  const { tokens } = installation.around.policy;
  tokens.set("admin", principal({ id: "admin", permissions: ["admin"] }));
  tokens.set("auditor", principal({ id: "auditor", tenant: "rival", permissions: [] }));
});
beforeEach(async () => {
  const { policy } = installation.around;
  policy.administers = ({ principal: who }) => who!.permissions.includes("admin") || who!.id === "auditor";
  await policy.changeTaken();
  exported = [];
  listed = [];
  lines = [];
  given = 0;
  ended = 0;
  failAfter = Infinity;
});

const ask = (path: string, token = "admin") =>
  fetch(installation.url(`/api/v1/audit/${path}`), { headers: { authorization: `Bearer ${token}` } });

async function accesses(action: AccessEvent["action"]): Promise<AccessEvent[]> {
  const found: AccessEvent[] = [];
  const signal = AbortSignal.timeout(10_000);
  for await (const { event } of readPastEvents(installation.runner.bus, { kind: "access", signal }))
    if (event.kind === "access" && event.action === action) found.push(event);
  return found;
}

/** RFC 4180, as another program would read it; the first row names the columns. */
function parseCsv(text: string): Record<string, string>[] {
  const rows: string[][] = [[]];
  for (const [, quoted, plain, end] of text.matchAll(/(?:"((?:[^"]|"")*)"|([^",\r\n]*))(,|\r\n)/g)) {
    rows.at(-1)!.push(quoted === undefined ? plain! : quoted.replaceAll('""', '"'));
    if (end === "\r\n") rows.push([]);
  }
  const [names = [], ...values] = rows.slice(0, -1);
  return values.map((row) => Object.fromEntries(names.map((name, at) => [name, row[at]!])));
}

describe("a page of the record", () => {
  test("is asked for by every filter", async () => {
    const query =
      "tenant=acme&kind=call&outcome=ok&user=alice&group=g&server=s&tool=t&team=x&policy=p&decision=allow&text=words" +
      `&trace=${"AB".repeat(16)}&from=2026-11-01T00:00:00Z&to=2000000000000&limit=7&cursor=c`;
    expect((await ask(`events?${query}`)).status).toBe(200);
    expect(listed).toEqual([
      {
        id: "",
        cursor: "c",
        pageSize: 7,
        filter: {
          tenant: "acme",
          kind: "call",
          outcome: "ok",
          principal: "user:alice",
          group: "g",
          server: "s",
          tool: "t",
          team: "x",
          policy: "p",
          decision: "allow",
          trace: "ab".repeat(16),
          text: "words",
          fromMs: BigInt(Date.UTC(2026, 10, 1)),
          toMs: 2_000_000_000_000n,
        },
      },
    ]);
  });

  test("has events as they were recorded, to the byte", async () => {
    lines = ['{"a" : 1.0, "\\u0062":"\\ud800", "big":12345678901234567890}'];
    const answer = await ask("events");
    expect(answer.headers.get("content-type")).toContain("application/json");
    expect(await answer.text()).toBe(`{"items":[${lines[0]}],"nextCursor":"next"}`);
  });

  test.each([
    ["events?tools=echo", "tools"],
    ["events?user=a&principal=b", "principal"],
    ["events?from=yesterday", "from"],
    ["events?decision=perhaps", "decision"],
    ["export?format=xml", "format"],
    ["export?limit=0", "limit"],
  ])("%s is refused, and says why", async (path, name) => {
    const answer = await ask(path);
    expect(answer.status).toBe(400);
    expect(JSON.stringify(await answer.json())).toContain(name);
    expect([...listed, ...exported]).toEqual([]);
  });

  test("is of the own tenant, for those whom a policy lets read", async () => {
    expect((await ask("events", "auditor")).status).toBe(200);
    expect((await ask("export", "auditor")).status).toBe(200);
    expect((await ask("events?tenant=acme", "auditor")).status).toBe(403);
    expect((await ask("export?tenant=acme", "auditor")).status).toBe(403);
    expect((await ask("events", "token")).status).toBe(403);
    expect([...listed, ...exported].map(({ filter }) => filter!.tenant)).toEqual(["rival", "rival"]);
  });

  test("that is read is on record, and what is read again is counted together", async () => {
    lines = ["{}", "{}"];
    await ask("events?tool=read-once");
    await eventually(async () =>
      expect(await accesses("read")).toContainEqual(
        expect.objectContaining({ principal: "admin", tenant: "acme", query: { tool: "read-once" }, count: 2 }),
      ),
    );
    for (const cursor of ["a", "b", "c"]) await ask(`events?tool=read-once&cursor=${cursor}`);
    // Of these three there is one more, within a minute or when the gateway stops.
    expect((await accesses("read")).filter(({ query }) => query["tool"] === "read-once")).toHaveLength(1);
    const { replica, close } = await installation.startReplica();
    const url = installation.url("/api/v1/audit/events?tool=read-often", replica);
    for (let at = 0; at < 5; at++) await fetch(url, { headers: { authorization: "Bearer admin" } });
    await close();
    const often = (await accesses("read")).filter(({ query }) => query["tool"] === "read-often");
    expect(often.map(({ count }) => count)).toEqual([2, 8]);
  });
});

describe("an export", () => {
  test("as NDJSON is the events, a line each", async () => {
    lines = Array.from({ length: 450 }, () => JSON.stringify(callEvent()));
    const answer = await ask("export?tenant=acme&limit=450");
    expect(answer.headers.get("content-type")).toBe("application/x-ndjson");
    expect(answer.headers.get("content-disposition")).toMatch(/^attachment; filename="audit-[0-9-]{10}\.ndjson"$/);
    expect(await answer.text()).toBe(`${lines.join("\n")}\n`);
    expect(exported).toMatchObject([{ limit: 450n, filter: { tenant: "acme" } }]);
  });

  test("as CSV has a row for each, without formulas", async () => {
    const call = callEvent({ tool: "=HYPERLINK(1)", outcome: "timeout", reason: 'it said "no",\nand left' });
    const refusal = refusalEvent({ principal: "@cmd", count: 3 });
    lines = [call, refusal].map((event) => JSON.stringify(event));
    const answer = await ask("export?format=csv");
    expect(answer.headers.get("content-type")).toBe("text/csv; charset=utf-8");
    const rows = parseCsv(await answer.text());
    expect(rows).toHaveLength(2);
    expect(rows[0]).toMatchObject({
      time: new Date(call.endedAt).toISOString(),
      id: call.id,
      kind: "call",
      outcome: "timeout",
      tenant: "acme",
      principal: "token:dev",
      tool: "'=HYPERLINK(1)",
      decision: "allow",
      policies: "all",
      reason: call.reason,
      duration_ms: "1.5",
    });
    expect(rows[1]).toMatchObject({ kind: "refusal", outcome: "denied", principal: "'@cmd", count: "3" });
  });

  test("of nothing is an empty file, with a header as CSV", async () => {
    expect(await (await ask("export")).text()).toBe("");
    expect(await (await ask("export?format=csv")).text()).toMatch(/^time,id,kind,/);
  });

  test("is on record before it begins, and in the end with how much was given out", async () => {
    lines = Array.from({ length: 3 }, () => JSON.stringify(callEvent()));
    await (await ask("export?tool=for-the-record")).text();
    await eventually(async () => {
      const its = (await accesses("export")).filter(({ query }) => query["tool"] === "for-the-record");
      expect(its.map(({ count, principal: who }) => [who, count])).toEqual([
        ["admin", 0],
        ["admin", 3],
      ]);
    });
  });

  test("that fails on the way ends as broken, and not as whole", async () => {
    lines = Array.from({ length: 1_000 }, () => JSON.stringify(callEvent()));
    failAfter = 400;
    const answer = await ask("export");
    expect(answer.status).toBe(200);
    await expect(answer.text()).rejects.toThrow("terminated");
    failAfter = 0;
    given = 0;
    expect((await ask("export")).status).toBe(503);
  });

  test("goes no faster than it is read, and costs nothing any more when its client is gone", async () => {
    const event: CallEvent = callEvent({ reason: "x".repeat(500) });
    lines = Array.from({ length: ENDLESS }, () => JSON.stringify(event));
    const request = get(installation.url("/api/v1/audit/export"), { headers: { authorization: "Bearer admin" } });
    const [response] = (await once(request, "response")) as [IncomingMessage];
    response.pause();
    let before = -1;
    await eventually(() => {
      const now = given;
      expect([before, (before = now)][0]).toBe(now);
    });
    expect(given).toBeGreaterThan(0);
    expect(given).toBeLessThan(ENDLESS / 2);
    expect(ended).toBe(0);
    request.destroy();
    await eventually(() => expect(ended).toBe(1));
    expect(given).toBeLessThan(ENDLESS);
  });

  test("is one of a bounded number", async () => {
    const event = callEvent({ reason: "x".repeat(500) });
    lines = Array.from({ length: ENDLESS }, () => JSON.stringify(event));
    const open = await Promise.all(Array.from({ length: 4 }, () => ask("export")));
    expect(open.map(({ status }) => status)).toEqual([200, 200, 200, 200]);
    const one = await ask("export");
    expect([one.status, one.headers.get("retry-after")]).toEqual([429, "10"]);
    for (const each of open) await each.body!.cancel();
    await eventually(async () => {
      const again = await ask("export");
      await again.body!.cancel();
      expect(again.status).toBe(200);
    });
  });
});
