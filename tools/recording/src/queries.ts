import { connectBus, endOfEvents } from "@tollgate/bus";
import { auditV1 } from "@tollgate/contracts";
import { freePort } from "@tollgate/embedded";
import { callUnary, type Life, openGrpcClient, openLife, serviceMetadata } from "@tollgate/service";
import { type Line, line, ms, must, startService, testLog } from "@tollgate/testkit";
import pg from "pg";
import { untilRecorded } from "./ingest.ts";
import { fillStream } from "./sample-stream.ts";
import { type OwnServers, startOwnServers } from "./servers.ts";

/** All of the events are of these days. */
const SPAN_MS = 30 * 86_400_000;
const DAY_MS = 86_400_000;
const REPEATS = 20;
const PAGE = 100;
const MUST_MS = 100;
/** Of a search that goes on from page to page until it has found a page of events, or looked at all. */
const PAGES_MAX = 500;

type Fields = Partial<Omit<auditV1.EventFilter, "fromMs" | "toMs">> & { daysBack?: number; days?: number };

/** What auditors ask for: values that are everywhere, rare ones, ones that are nowhere, and what has no index. */
const QUERIES: readonly Fields[] = [
  {},
  { tenant: "tenant-3" },
  { tenant: "nobody" },
  { principal: "user:person-1" },
  { principal: "agent:worker-300" },
  { principal: "user:nobody" },
  { team: "team-7" },
  { group: "group-2" },
  { server: "server-4" },
  { tool: "tool-44" },
  { kind: "call" },
  { kind: "refusal" },
  { kind: "change" },
  { outcome: "ok" },
  { outcome: "timeout" },
  { outcome: "unknown" },
  { decision: "allow" },
  { decision: "deny" },
  { policy: "all" },
  { trace: "0".repeat(32) },
  { text: "error" },
  { text: "3999" },
  { text: '"with an error"' },
  { text: "server -error" },
  { text: "nothingofthekind" },
  { daysBack: 20, days: 1 },
  { daysBack: 20, days: 1, principal: "user:person-1" },
  { daysBack: 29, days: 5, tool: "tool-44", tenant: "tenant-1" },
  { tenant: "tenant-3", outcome: "timeout" },
  { tenant: "tenant-1", principal: "user:person-1", tool: "tool-44" },
  { principal: "user:person-1", server: "server-4", outcome: "unknown" },
  { principal: "user:person-1", tenant: "tenant-2" },
  { team: "team-7", server: "server-4", decision: "deny" },
  { tool: "tool-44", server: "server-5" },
  { tenant: "tenant-3", text: "error", tool: "tool-44" },
  { text: "error", principal: "user:nobody" },
  // Nothing of it has an index of its own, or only the two together are rare: looked for event by event.
  { group: "nobody" },
  { policy: "nobody" },
  { decision: "deny", outcome: "ok" },
  { kind: "call", outcome: "denied" },
  { tenant: "tenant-3", group: "nobody" },
  { text: "error", group: "nobody" },
];

/** How long pages of the record take with so many events in it. */
export async function playQueries(options: { events: number }): Promise<Line[]> {
  const servers = await startOwnServers();
  const life = openLife(testLog);
  try {
    return await recordThenAsk(servers, { ...options, life });
  } finally {
    await life.close();
    await servers.stop();
  }
}

async function recordThenAsk({ infra }: OwnServers, { events, life }: { events: number; life: Life }): Promise<Line[]> {
  const { natsUrl: url, busPrefix: prefix, serviceKey } = infra;
  const bus = await connectBus({ url, name: "recording", prefix, log: testLog, signal: life.signal });
  life.onClose("bus", 5_000, () => bus.drain());
  await fillStream(bus, events, { everyMs: SPAN_MS / events });
  const { last } = await endOfEvents(bus);
  const grpcPort = await freePort();
  const audit = await startService("audit", {
    TOLLGATE_LOG_LEVEL: "warn",
    TOLLGATE_SERVICE_KEY: serviceKey,
    TOLLGATE_SIGNING_SECRET: infra.signingSecret,
    TOLLGATE_HTTP_PORT: "0",
    TOLLGATE_GRPC_PORT: String(grpcPort),
    TOLLGATE_NATS_URL: url,
    TOLLGATE_BUS_PREFIX: prefix,
    TOLLGATE_DATABASE_URL: infra.databaseUrl("audit"),
  });
  life.onClose("audit", 20_000, () => audit.stop("SIGTERM"));
  const admin = new pg.Client({ connectionString: infra.adminUrl });
  await admin.connect();
  life.onClose("database", 5_000, () => admin.end());
  await untilRecorded(admin, "audit", last);
  const address = `127.0.0.1:${grpcPort}`;
  const client = openGrpcClient(auditV1.AuditServiceClient, { address, name: "audit", life });
  const metadata = serviceMetadata(serviceKey);
  return askQueries((asked) =>
    callUnary(client.listEvents.bind(client), asked, { metadata, timeoutMs: 10_000, service: "audit" }),
  );
}

type List = (asked: auditV1.ListEventsRequest) => Promise<auditV1.ListEventsResponse>;

/** Each query so often, one after the other; the worst of all has to be quick enough. */
async function askQueries(list: List): Promise<Line[]> {
  const lines: Line[] = [];
  let worst = 0;
  for (const fields of QUERIES) {
    const times: number[] = [];
    const ask = async (cursor: string) => {
      const begun = performance.now();
      const answer = await list({ id: "", cursor, pageSize: PAGE, filter: toFilter(fields) });
      times.push(performance.now() - begun);
      return answer;
    };
    let page = await ask("");
    let found = page.events.length;
    let pages = 1;
    for (; found < PAGE && page.nextCursor !== "" && pages < PAGES_MAX; pages++) {
      page = await ask(page.nextCursor);
      found += page.events.length;
    }
    for (let at = 1; at < REPEATS; at++) await ask("");
    times.sort((a, b) => a - b);
    const max = times.at(-1)!;
    worst = Math.max(worst, max);
    const what = `${JSON.stringify(fields)}: ${found} found${pages === 1 ? "" : ` on ${pages} pages`}`;
    lines.push(line(what, `${ms(times[Math.floor(times.length / 2)]!)}, at most ${ms(max)}`));
  }
  return [...lines, must("the slowest page", ms(worst), `≤ ${MUST_MS} ms`, worst <= MUST_MS)];
}

function toFilter({ daysBack, days = 0, ...fields }: Fields): auditV1.EventFilter {
  const from = daysBack === undefined ? 0 : Date.now() - daysBack * DAY_MS;
  const to = daysBack === undefined ? 0 : from + days * DAY_MS;
  return { ...auditV1.EventFilter.create(), ...fields, fromMs: BigInt(from), toMs: BigInt(to) };
}
