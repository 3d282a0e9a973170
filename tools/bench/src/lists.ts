import { fork } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import {
  type Call,
  eventually,
  type HttpConnection,
  legacyClient,
  type Line,
  line,
  measureClosedLoop,
  measureSerial,
  ms,
  must,
  openHttpConnection,
  percent,
  renderTable,
} from "@tollgate/testkit";
import { type CatalogueStage, onCatalogueStage, TOOLS_IN_ALL, TOOLS_IN_FIRST } from "./catalogue-stage.ts";

const IN_FLIGHT = 16;
const WARM_UP_LISTS = 2_000;
const PAGE_ROUNDS = 300;
/** Of what bare Fastify does. */
const SHARE_MIN = 0.8;
/** Of the cheapest page's time, by which another may be above it. */
const PAGES_DIFFER_MAX = 0.25;
const SEARCHES_WARM_UP = 20;
const SEARCHES_MEASURED = 200;
/** Words of all tools, of some, with a slip, the beginning of one. */
const SEARCHES = ["record archived", "read record 7", "recrod 12", "incl", "s31 fields"];
const READY_TIMEOUT_MS = 30_000;
const META = '{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}';
type Headers = Readonly<Record<string, string>>;

/** How fast lists are answered, against bare Fastify that sends the same bytes, and what each page of a long one costs. */
export function measureLists(durationMs: number): Promise<number> {
  return onCatalogueStage({ replicas: 1 }, async (stage) => {
    const url = `${stage.urls[0]}/mcp`;
    await untilListed(stage);
    const lines = [
      ...(await compareWithFastify(`${url}/first`, stage, durationMs)),
      ...(await measurePages(url, modernHeaders(stage))),
      await measureSearch(stage),
    ];
    process.stdout.write(renderTable(`Lists: ${IN_FLIGHT} in flight, ${durationMs / 1000} s each`, lines));
    return lines.some(({ reached }) => reached === false) ? 1 : 0;
  });
}

async function untilListed(stage: CatalogueStage): Promise<void> {
  const check = async () => {
    const { total } = await readPages(await connect(`${stage.urls[0]}/mcp`, modernHeaders(stage)));
    if (total !== TOOLS_IN_ALL) throw new Error(`${total} of ${TOOLS_IN_ALL} tools`);
  };
  await eventually(check, { timeoutMs: READY_TIMEOUT_MS });
}

const connect = openHttpConnection;

function modernHeaders({ token }: CatalogueStage): Headers {
  const era = { "mcp-protocol-version": "2026-07-28", "mcp-method": "tools/list" };
  return { authorization: `Bearer ${token}`, accept: "application/json, text/event-stream", ...era };
}

async function legacyHeaders(url: string, { token }: CatalogueStage): Promise<Headers> {
  const { session } = await legacyClient({ url, token });
  const era = { "mcp-protocol-version": "2025-11-25", "mcp-session-id": session };
  return { authorization: `Bearer ${token}`, accept: "application/json, text/event-stream", ...era };
}

const modernList = (id: string, cursor?: string): string => {
  const from = cursor === undefined ? "" : `"cursor":"${cursor}",`;
  return `{"jsonrpc":"2.0","id":"${id}","method":"tools/list","params":{${from}"_meta":${META}}}`;
};
const legacyList = (id: string): string => `{"jsonrpc":"2.0","id":"${id}","method":"tools/list"}`;

async function compareWithFastify(url: string, stage: CatalogueStage, durationMs: number): Promise<Line[]> {
  const lines: Line[] = [];
  for (const era of ["modern", "legacy"] as const) {
    const headers = era === "modern" ? modernHeaders(stage) : await legacyHeaders(url, stage);
    const listOf = era === "modern" ? modernList : legacyList;
    const sample = await (await connect(url, headers)).post(listOf("00-00"));
    const tools = (JSON.parse(sample) as { result: { tools: unknown[] } }).result.tools.length;
    if (tools !== TOOLS_IN_FIRST) throw new Error(`${tools} of ${TOOLS_IN_FIRST} tools`);
    const child = fork(join(import.meta.dirname, "prepared-baseline.ts"), {
      stdio: ["ignore", "inherit", "inherit", "ipc"],
    });
    child.send(sample);
    const [{ port }] = (await once(child, "message")) as [{ port: number }];
    const bare = { url: `http://127.0.0.1:${port}/`, headers, listOf, bytes: sample.length };
    // By turns: the machine's own speed changes from minute to minute.
    const fastify: number[] = [];
    const gateway: number[] = [];
    for (let turn = 0; turn < 3; turn++) {
      fastify.push(await listsPerSecond({ ...bare, checked: false }, durationMs / 3));
      gateway.push(await listsPerSecond({ ...bare, url, checked: true }, durationMs / 3));
    }
    child.disconnect();
    const [floor, found] = [mean(fastify), mean(gateway)];
    lines.push(
      line(`${era}: bare Fastify, ${sample.length} bytes`, `${Math.round(floor)}/s`),
      line(`${era}: the gateway, ${tools} tools`, `${Math.round(found)}/s`),
      must(`${era}: of bare Fastify`, percent(found / floor), `≥ ${percent(SHARE_MIN)}`, found / floor >= SHARE_MIN),
    );
  }
  return lines;
}

const mean = (values: readonly number[]) => values.reduce((sum, each) => sum + each, 0) / values.length;

interface Target {
  readonly url: string;
  readonly headers: Headers;
  readonly listOf: (id: string) => string;
  readonly bytes: number;
  /** Each answer is to its own request; what was prepared says always the same. */
  readonly checked: boolean;
}

async function listsPerSecond({ url, headers, listOf, bytes, checked }: Target, durationMs: number): Promise<number> {
  const connections = await Promise.all(Array.from({ length: IN_FLIGHT }, () => connect(url, headers)));
  const lanes = connections.map((connection, lane): Call => async (n) => {
    // Of one length, so that all answers have as many bytes.
    const id = `${String(lane).padStart(2, "0")}-${String(n % 100).padStart(2, "0")}`;
    const body = await connection.post(listOf(id));
    if (body.length !== bytes || (checked && !body.slice(0, 40).includes(`"id":"${id}"`)))
      throw new Error(`wrong answer to ${id}: ${body.slice(0, 300)}`);
  });
  await measureSerial(lanes[0]!, WARM_UP_LISTS / 10);
  await measureClosedLoop(lanes, 500);
  const { perSecond } = await measureClosedLoop(lanes, durationMs);
  connections.forEach((connection) => connection.close());
  return perSecond;
}

interface Pages {
  readonly total: number;
  readonly cursors: readonly (string | undefined)[];
}

/** Follows the cursors from the beginning. */
async function readPages(connection: HttpConnection): Promise<Pages> {
  const cursors: (string | undefined)[] = [];
  let total = 0;
  let cursor: string | undefined;
  do {
    cursors.push(cursor);
    const body = await connection.post(modernList("page", cursor));
    const { result } = JSON.parse(body) as { result: { tools: unknown[]; nextCursor?: string } };
    total += result.tools.length;
    cursor = result.nextCursor;
  } while (cursor !== undefined);
  return { total, cursors };
}

/** All pages by turns, so that what the machine does meanwhile is the same for each. */
async function measurePages(url: string, headers: Headers): Promise<Line[]> {
  const connection = await connect(url, headers);
  const { cursors } = await readPages(connection);
  const times = cursors.map((): number[] => []);
  for (let round = 0; round < PAGE_ROUNDS; round++)
    for (const [page, cursor] of cursors.entries()) {
      const body = modernList("page", cursor);
      const began = performance.now();
      await connection.post(body);
      times[page]!.push(performance.now() - began);
    }
  connection.close();
  const medians = times.map((each) => each.toSorted((a, b) => a - b)[each.length >> 1]!);
  const differ = Math.max(...medians) / Math.min(...medians) - 1;
  const [first, middle, last] = [medians[0]!, medians[medians.length >> 1]!, medians.at(-1)!];
  return [
    line(`${TOOLS_IN_ALL} tools: pages`, String(cursors.length)),
    line("first, middle, last page, one at a time: p50", `${ms(first)}, ${ms(middle)}, ${ms(last)}`),
    must(
      "the dearest page above the cheapest",
      percent(differ),
      `≤ ${percent(PAGES_DIFFER_MAX)}`,
      differ <= PAGES_DIFFER_MAX,
    ),
  ];
}

/** Of one who may call all of them: for an administrator less is decided. */
async function measureSearch({ urls, token }: CatalogueStage): Promise<Line> {
  const headers = { authorization: `Bearer ${token}` };
  const search: Call = async (n) => {
    const words = SEARCHES[n % SEARCHES.length]!;
    const response = await fetch(`${urls[0]}/api/v1/tools?limit=20&q=${encodeURIComponent(words)}`, { headers });
    const { items } = (await response.json()) as { items?: unknown[] };
    if (items === undefined || items.length === 0) throw new Error(`${words}: ${response.status}, nothing found`);
  };
  await measureSerial(search, SEARCHES_WARM_UP);
  const { p50Ms, p99Ms } = await measureSerial(search, SEARCHES_MEASURED);
  return line(`a search over ${TOOLS_IN_ALL} tools, one at a time: p50, p99`, `${ms(p50Ms)}, ${ms(p99Ms)}`);
}
