import { connectBus, createEventPublisher } from "@tollgate/bus";
import { type AuditEvent, auditV1, facetsOf, timeOfId } from "@tollgate/contracts";
import { openGrpcClient, openLife, readStream, serviceMetadata } from "@tollgate/service";
import { callEvent, eventually, refusalEvent, testLog, useInfrastructure } from "@tollgate/testkit";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openAuditClient } from "./audit-client.ts";
import { startRecorder } from "./record.ts";

/** More than one step of a search looks at, of all events and of those with the most frequent values. */
const EVENTS = 9_000;
const RUNS = 25;
const START = Date.UTC(2026, 9, 31, 22);

type Fields = Partial<auditV1.EventFilter>;

const infra = useInfrastructure();
const life = openLife(testLog);
let audit: ReturnType<typeof openAuditClient>;
let client: auditV1.AuditServiceClient;
/** Oldest first. */
let events: AuditEvent[];

let seed = 1;
/** From 0 to n - 1, small ones far more often; the same in each run of the test. */
function random(n: number): number {
  seed = (seed * 48_271) % 2_147_483_647;
  return Math.floor(n * (seed / 2_147_483_647) ** 3);
}

/** Some values are nearly everywhere, some are rare, and those of the first events are nowhere else. */
function sampleEvent(at: number): AuditEvent {
  const acceptedAt = START + Math.floor(at / 3) * 1_000;
  const old = at < 20 ? "old-" : "";
  const server = `${old}server-${random(4)}`;
  const facts = {
    tenant: `tenant-${random(4)}`,
    principal: `${old}user:u${random(30)}`,
    team: `team-${random(5)}`,
    group: `group-${random(3)}`,
    server,
    tool: `${server}-tool-${random(3)}`,
  };
  if (random(20) === 7)
    return refusalEvent({
      ...facts,
      endedAt: acceptedAt,
      reason: at % 9 === 0 ? "no policy allows it" : "outside of hours",
    });
  const outcome = random(10) === 5 ? "timeout" : "ok";
  return callEvent({
    ...facts,
    acceptedAt,
    outcome,
    ...(outcome === "ok" ? {} : { reason: `the server was silent for ${at} ms` }),
    ...(at % 4 === 0 ? { traceparent: `00-${String(Math.floor(at / 12)).padStart(32, "0")}-00f067aa0ba902b7-01` } : {}),
    decision: { allow: true, policies: ["all", `policy-${random(6)}`], revision: 1, reason: "" },
  });
}

beforeAll(async () => {
  const service = await startRecorder(infra);
  life.onClose("audit", 20_000, () => service.close());
  const { natsUrl: url, busPrefix: prefix, serviceKey } = infra;
  const bus = await connectBus({ url, name: "test", prefix, log: testLog, signal: life.signal });
  life.onClose("bus", 5_000, () => bus.drain());
  audit = openAuditClient({ port: service.grpcPort, serviceKey, life });
  client = openGrpcClient(auditV1.AuditServiceClient, { address: `127.0.0.1:${service.grpcPort}`, name: "test", life });

  events = Array.from({ length: EVENTS }, (_, at) => sampleEvent(at)).toSorted((a, b) => (a.id < b.id ? -1 : 1));
  const publisher = createEventPublisher(bus, { waitingMax: EVENTS, timeoutMs: 10_000 });
  await Promise.all(events.map((event) => publisher.publish(event)));
  await eventually(async () => expect((await exported({})).length).toBe(EVENTS), { timeoutMs: 60_000 });
}, 90_000);
afterAll(() => life.close());

async function exported(fields: Fields, limit = 0n): Promise<string[]> {
  const asked = { filter: { ...auditV1.EventFilter.create(), ...fields }, limit };
  const stream = client.exportEvents(asked, serviceMetadata(infra.serviceKey));
  const lines: string[] = [];
  for await (const batch of readStream<auditV1.ExportEventsResponse>(stream, "audit")) lines.push(...batch.events);
  return lines;
}

const idsOf = (lines: readonly string[]) => lines.map((line) => (JSON.parse(line) as AuditEvent).id);

/** What the filters mean, said once more. */
function isMeant(event: AuditEvent, { tenant, kind, text, policy, fromMs, toMs, ...fields }: Fields): boolean {
  const facets = facetsOf(event);
  const time = timeOfId(event.id);
  const words = new Set((facets.reason ?? "").split(" "));
  return (
    (tenant === undefined || event.tenant === tenant) &&
    (kind === undefined || event.kind === kind) &&
    (policy === undefined || facets.policies?.includes(policy) === true) &&
    (text === undefined || text.split(" ").every((word) => words.has(word))) &&
    (fromMs === undefined || time >= Number(fromMs)) &&
    (toMs === undefined || time < Number(toMs)) &&
    Object.entries(fields).every(([name, value]) => facets[name as keyof typeof facets] === value)
  );
}

const some = (...values: string[]) => fc.option(fc.constantFrom(...values), { nil: undefined, freq: 2 });
const hour = (from: number, to: number) =>
  fc.option(
    fc.integer({ min: from, max: to }).map((at) => BigInt(START + at * 60_000)),
    { nil: undefined, freq: 1 },
  );
const filters = fc
  .record({
    tenant: some("tenant-0", "tenant-3", "nobody"),
    kind: some("call", "refusal", "approval"),
    outcome: some("ok", "timeout", "denied", "overloaded"),
    principal: some("user:u0", "user:u29", "old-user:u0", "nobody"),
    team: some("team-0", "team-4"),
    group: some("group-0", "group-2", "nobody"),
    server: some("server-0", "server-3", "old-server-0"),
    tool: some("server-0-tool-0", "server-0-tool-2", "old-server-0-tool-0"),
    policy: some("all", "policy-5", "nobody"),
    decision: some("allow", "deny"),
    trace: some("7".padStart(32, "0"), "999999".padStart(32, "0")),
    text: some("silent", "policy", "2468", "no it", "nothing"),
    fromMs: hour(0, 30),
    toMs: hour(31, 70),
  })
  .map((fields) => Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as Fields);
/** At most three of them: with all, nothing is ever found. */
const fewFilters = fc.tuple(filters, fc.array(fc.nat(), { minLength: 0, maxLength: 3 })).map(([fields, picks]) => {
  const entries = Object.entries(fields);
  return Object.fromEntries(picks.flatMap((pick) => (entries.length === 0 ? [] : [entries[pick % entries.length]!])));
});

describe("whatever is asked for", () => {
  it("pages hold exactly that, newest first, and exports the same, oldest first", async () => {
    await fc.assert(
      fc.asyncProperty(fewFilters, fc.constantFrom(400, 1_000), async (fields: Fields, pageSize) => {
        const meant = events.filter((event) => isMeant(event, fields)).map(({ id }) => id);
        const { events: listed } = await audit.listAll({ ...fields, pageSize });
        expect(idsOf(listed)).toEqual(meant.toReversed());
        expect(idsOf(await exported(fields))).toEqual(meant);
      }),
      { numRuns: RUNS },
    );
  }, 120_000);

  it("rare values are on the first page, however old they are", async () => {
    const rare: Fields[] = [
      { server: "old-server-0" },
      { principal: "old-user:u0" },
      { tool: "old-server-0-tool-0" },
      { server: "old-server-0", tenant: "tenant-0", kind: "call", decision: "allow" },
      { text: "2468" },
    ];
    for (const fields of rare) {
      const meant = events.filter((event) => isMeant(event, fields)).length;
      expect(idsOf((await audit.list({ ...fields, pageSize: 1_000 })).events)).toHaveLength(meant);
    }
  });
});

describe("words in the reason", () => {
  it("may be a phrase, one or another, or not", async () => {
    const count = async (text: string) => (await exported({ text })).length;
    const reasons = events.map((event) => facetsOf(event).reason ?? "");
    const of = (pattern: RegExp) => reasons.filter((reason) => pattern.test(reason)).length;
    expect(await count('"policy allows"')).toBe(of(/policy allows/));
    expect(await count('"allows policy"')).toBe(0);
    expect(await count("policy or silent")).toBe(of(/policy|silent/));
    expect(await count("server -silent")).toBe(0);
    expect(await count("HOURS")).toBe(of(/hours/));
    expect(await count("'); DROP TABLE audit.events; --")).toBe(0);
  });
});

describe("an export", () => {
  it("ends after as many as were asked for", async () => {
    expect(idsOf(await exported({ kind: "call" }, 777n))).toEqual(
      events
        .filter(({ kind }) => kind === "call")
        .slice(0, 777)
        .map(({ id }) => id),
    );
  });

  it("is refused with what is wrong with it", async () => {
    await expect(exported({ decision: "perhaps" })).rejects.toMatchObject({
      code: "invalid_argument",
      message: expect.stringContaining("decision:"),
    });
  });
});
