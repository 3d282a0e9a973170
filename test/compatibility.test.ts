// Every client revision with every server revision, feature by feature, and every transport with every other. What it
// finds is docs/compatibility.md.
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import {
  eventually,
  openPeer,
  type Peer,
  REVISIONS,
  type Revision,
  useInfrastructure,
  useSystem,
} from "@tollgate/testkit";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Cell, cellsOf, type Feature, textOf } from "./compatibility/cell.ts";
import { DIALOGUES } from "./compatibility/dialogues.ts";
import { OFFERS } from "./compatibility/offers.ts";
import {
  ableClient,
  GROUP,
  type Listening,
  openDirect,
  routeBy,
  routeOf,
  serverIdOf,
  startListening,
  stdioServers,
  TRANSPORTS_IN,
  type TransportIn,
} from "./compatibility/servers.ts";
import { type Finding, render, type TransportFinding } from "./compatibility/table.ts";

const DOCUMENT = join(import.meta.dirname, "..", "docs", "compatibility.md");
const FEATURES: readonly Feature[] = [...OFFERS, ...DIALOGUES];
/** Servers that listen by themselves, by how they are called in the table. */
const REMOTE = {
  "Streamable HTTP": { id: "by-http", transport: "streamable-http", args: ["--era", "legacy", "--transport", "http"] },
  "Streamable HTTP, 2026-07-28": {
    id: "by-http-modern",
    transport: "streamable-http",
    args: ["--era", "modern", "--transport", "http"],
  },
  "HTTP+SSE": { id: "by-sse", transport: "sse", args: ["--era", "legacy", "--transport", "sse"] },
  WebSocket: { id: "by-ws", transport: "websocket", args: ["--era", "legacy", "--transport", "ws"] },
  "WebSocket, 2026-07-28": {
    id: "by-ws-modern",
    transport: "websocket",
    args: ["--era", "modern", "--transport", "ws"],
  },
} as const;
const TRANSPORTS_OUT = { stdio: serverIdOf("2025-11-25"), ...idsOf(REMOTE) };

function idsOf(remote: Readonly<Record<string, { readonly id: string }>>): Record<string, string> {
  return Object.fromEntries(Object.entries(remote).map(([name, { id }]) => [name, id]));
}

const findings: Finding[] = [];
const transportFindings: TransportFinding[] = [];
const fixtures: Listening[] = [];
const direct = new Map<Revision, Peer>();
const among = new Map<Revision, Peer>();

const POLICIES = `policies:
  - { name: all, effect: allow, principals: ["token:caller"], actions: ["tools/call", "prompts/get", "resources/read"], resources: ["*"] }`;
const infra = useInfrastructure();
const system = useSystem(infra, { yaml: yamlOf(stdioServers()) });
const at = (path: string) => ({ url: `${system.gatewayUrl}${path}`, token: system.token });

function yamlOf(servers: readonly object[]): string {
  return `groups: [{ id: ${GROUP}, name: Compatibility }]\nmcp_servers: ${JSON.stringify(servers)}\n${POLICIES}\n`;
}

async function startRemotes(): Promise<void> {
  const servers = await Promise.all(
    Object.values(REMOTE).map(async ({ id, transport, args }) => {
      const fixture = await startListening(args);
      fixtures.push(fixture);
      return { id, group: GROUP, type: "remote", url: fixture.url, transport };
    }),
  );
  await system.configure(yamlOf([...stdioServers(), ...servers]));
}

beforeAll(async () => {
  await startRemotes();
  for (const revision of REVISIONS) {
    direct.set(revision, await openDirect(revision));
    among.set(revision, await openPeer({ revision, to: at("/mcp") }));
  }
  await eventually(
    async () => {
      const response = await fetch(`${system.gatewayUrl}/api/v1/servers`, {
        headers: { authorization: `Bearer ${system.adminToken}` },
      });
      const { items } = (await response.json()) as { items: { id: string; status: string }[] };
      const statuses = Object.fromEntries(items.map(({ id, status }) => [id, status]));
      const ids = [...Object.values(TRANSPORTS_OUT), ...REVISIONS.map(serverIdOf)];
      expect(statuses).toEqual(Object.fromEntries(ids.map((id) => [id, "ready"])));
    },
    { timeoutMs: 20_000 },
  );
}, 90_000);

afterAll(async () => {
  await Promise.all([...direct.values(), ...among.values()].map((peer) => peer.close()));
  await Promise.all(fixtures.map((fixture) => fixture.stop()));
});

async function openCell(of: Pick<Cell, "client" | "server">): Promise<Cell> {
  const { client, server } = of;
  const serverId = serverIdOf(server);
  const to = { revision: client, to: at(routeOf(serverId)) };
  const [plain, able] = await Promise.all([openPeer(to), ableClient(to)]);
  const known = { direct: direct.get(server)!, among: among.get(client)! };
  return { ...of, plain, able, serverId, ...known };
}

async function findOut(cell: Cell, feature: Feature): Promise<Finding> {
  const { client, server } = cell;
  const impossible = feature.impossible?.(cell);
  const check = impossible === undefined ? feature.check : (feature.otherwise ?? (() => Promise.resolve()));
  const failure = await check(cell).then(
    () => undefined,
    (error: Error) => error.message,
  );
  return { client, server, feature: feature.name, impossible, failure };
}

const failuresIn = (all: readonly Finding[]) =>
  all.flatMap(({ feature, failure }) => (failure === undefined ? [] : `${feature}: ${failure}`));

/** What a machine that stands still for a second makes gateways say: nothing of who works with whom. */
const STALLED = "policy is not heard from";
const LOOKS_MAX = 4;

/** What fails. */
async function look(of: Pick<Cell, "client" | "server">, alone: boolean): Promise<string[]> {
  for (let looks = 1; ; looks++) {
    const found = await lookOnce(await openCell(of), alone);
    const failures = failuresIn(found);
    if (looks < LOOKS_MAX && failures.some((failure) => failure.includes(STALLED))) continue;
    findings.push(...found);
    return failures;
  }
}

async function lookOnce(cell: Cell, alone: boolean): Promise<Finding[]> {
  const features = FEATURES.filter((feature) => (feature.alone === true) === alone);
  const found: Finding[] = [];
  if (alone) for (const feature of features) found.push(await findOut(cell, feature));
  else found.push(...(await Promise.all(features.map((feature) => findOut(cell, feature)))));
  await Promise.all([cell.plain.close(), cell.able.close()]);
  return found;
}

describe.concurrent("through the gateway", () => {
  test.each(cellsOf())("a client of $client, and a server of $server", { timeout: 90_000 }, async (of) => {
    expect(await look(of, false)).toEqual([]);
  });
});

describe.concurrent("through the gateway, alone", () => {
  test.each(REVISIONS)("clients of each revision, and a server of %s", { timeout: 90_000 }, async (server) => {
    for (const client of REVISIONS) expect(await look({ client, server }, true)).toEqual([]);
  });
});

async function checkTransports(from: TransportIn, serverId: string): Promise<void> {
  const peer = await ableClient(routeBy(from, at(routeOf(serverId))));
  try {
    const call = (name: string, more: object = {}) => peer.request("tools/call", { name, arguments: {}, ...more });
    expect(textOf(await call("test_simple_text"))).toBe("This is a simple text response for testing.");
    await call("test_tool_with_progress", { _meta: { progressToken: "p" } });
    const progress = peer
      .notices("notifications/progress")
      .map(({ params }) => [params.progressToken, params.progress]);
    expect(progress).toEqual([0, 50, 100].map((step) => ["p", step]));
    expect(textOf(await call("test_sampling", { arguments: { prompt: "why" } }))).toBe('LLM response: sampled "why"');
  } finally {
    await peer.close();
  }
}

describe.concurrent("transports", () => {
  const pairs = TRANSPORTS_IN.flatMap((from) => Object.entries(TRANSPORTS_OUT).map(([to, id]) => ({ from, to, id })));
  test.each(pairs)("$from, and a server by $to", { timeout: 60_000 }, async ({ from, to, id }) => {
    const failure = await checkTransports(from, id).then(
      () => undefined,
      (error: Error) => error.message,
    );
    transportFindings.push({ from, to, failure });
    expect(failure).toBeUndefined();
  });
});

test("docs/compatibility.md says what was found", async () => {
  const order = <T>(all: readonly T[], known: readonly T[]) => known.filter((each) => all.includes(each));
  expect(
    order(
      [...new Set(findings.map(({ feature }) => feature))],
      FEATURES.map(({ name }) => name),
    ),
  ).toHaveLength(FEATURES.length);
  const sorted = findings.toSorted(
    (a, b) =>
      FEATURES.findIndex(({ name }) => name === a.feature) - FEATURES.findIndex(({ name }) => name === b.feature) ||
      `${a.client} ${a.server}`.localeCompare(`${b.client} ${b.server}`),
  );
  const place = ({ from, to }: TransportFinding) =>
    TRANSPORTS_IN.findIndex((each) => each === from) * 100 + Object.keys(TRANSPORTS_OUT).indexOf(to);
  const document = render(
    sorted,
    transportFindings.toSorted((a, b) => place(a) - place(b)),
    REVISIONS,
  );
  if (process.env["TOLLGATE_WRITE_DOCS"] === "1") await writeFile(DOCUMENT, document);
  else expect(document).toBe(await readFile(DOCUMENT, "utf8"));
});
