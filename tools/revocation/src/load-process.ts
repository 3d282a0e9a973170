// A process of its own: calls begun at a fixed rate whatever the answers do, by turns over all lanes that are free. So
// what is measured beside it is not held up by it.
import { type HttpConnection, openHttpConnection } from "@tollgate/testkit";
import type { Answer, Order, Request, Stream } from "./load.ts";

const TICK_MS = 2;
/** As openHttpConnection says it. */
const CLOSED = "the connection was closed";
const MODERN_META =
  '"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}';

interface Lane {
  connection: HttpConnection;
  readonly connect: () => Promise<HttpConnection>;
  readonly stream: string;
  readonly meta: string;
}

const requests = new Map<string, Request[]>();
const lanes = new Map<string, Lane[]>();
const free: Lane[] = [];
let rate = 0;
let began = performance.now();
let begun = 0;
let nextId = 1;
let addresses = 0;

/** An address of its own for each lane: what is refused too often from one address is slowed down. */
function nextAddress(): string {
  addresses += 1;
  return `10.${(addresses >> 16) & 255}.${(addresses >> 8) & 255}.${addresses & 255}`;
}

async function open({ name, tool, token, urls, lanesPerUrl, session }: Stream): Promise<void> {
  const opened: Lane[] = [];
  const headers = {
    authorization: `Bearer ${token}`,
    accept: "application/json, text/event-stream",
    ...(session === undefined
      ? { "mcp-protocol-version": "2026-07-28", "mcp-method": "tools/call", "mcp-name": tool }
      : { "mcp-protocol-version": "2025-11-25", "mcp-session-id": session }),
  };
  const meta = session === undefined ? `,${MODERN_META}` : "";
  for (let n = 0; n < lanesPerUrl; n += 1) {
    for (const url of urls) {
      const own = { ...headers, "x-forwarded-for": nextAddress() };
      const connect = (): Promise<HttpConnection> => openHttpConnection(`${url}/mcp`, own);
      opened.push({
        connection: await connect(),
        connect,
        stream: name,
        meta: `{"name":"${tool}","arguments":{"message":"m"}${meta}}`,
      });
    }
  }
  requests.set(name, []);
  lanes.set(name, opened);
  free.push(...opened);
}

function close(name: string): Request[] {
  const made = requests.get(name) ?? [];
  requests.delete(name);
  for (const lane of lanes.get(name) ?? []) lane.connection.close();
  lanes.delete(name);
  for (let n = free.length - 1; n >= 0; n -= 1) if (free[n]!.stream === name) free.splice(n, 1);
  return made;
}

async function call(lane: Lane): Promise<void> {
  const sentAt = Date.now();
  const body = `{"jsonrpc":"2.0","id":${(nextId += 1)},"method":"tools/call","params":${lane.meta}}`;
  let answer: string;
  try {
    answer = await lane.connection.post(body);
  } catch (error) {
    answer = (error as Error).message;
  }
  const isLetIn = answer.includes('"result"');
  const made = requests.get(lane.stream);
  // Closed meanwhile: then the connection is, too.
  if (made === undefined) return;
  made.push({ sentAt, tookMs: Date.now() - sentAt, isLetIn, ...(isLetIn ? {} : { refusal: answer.slice(0, 300) }) });
  if (answer === CLOSED) lane.connection = await lane.connect();
  free.push(lane);
}

setInterval(() => {
  const due = Math.floor(((performance.now() - began) * rate) / 1_000) - begun;
  for (let n = 0; n < due; n += 1) {
    const lane = free.shift();
    // What cannot be begun now is begun as soon as a lane is free.
    if (lane === undefined) return;
    begun += 1;
    void call(lane);
  }
}, TICK_MS);

async function obey(order: Order): Promise<Request[]> {
  if (order.do === "open") await open(order.stream);
  if (order.do === "close") return close(order.name);
  if (order.do === "look") return requests.get(order.name)?.slice(order.from) ?? [];
  if (order.do === "rate") [rate, began, begun] = [order.perSecond, performance.now(), 0];
  return [];
}

process.on("message", ({ id, order }: { id: number; order: Order }) => {
  obey(order).then(
    (made) => process.send?.({ id, made } satisfies Answer),
    (error: Error) => process.send?.({ id, made: [], problem: error.message } satisfies Answer),
  );
});
process.on("disconnect", () => process.exit(0));
