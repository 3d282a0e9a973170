// The conformance server as a program: `main.ts --era legacy|modern|both --transport stdio|http|sse|ws [--port N]
// [--revision R] [--page-size N]`. Where it listens it says so in one JSON line: {"url": …}.
import { parseArgs } from "node:util";
import { StdioServerTransport } from "@modelcontextprotocol/server/stdio";
import { createFactory } from "./fixture-server.ts";
import { serveConnection, type ServedEra } from "./transports/connection.ts";
import { serveHttpSse } from "./transports/http-sse.ts";
import { serveStreamableHttp } from "./transports/streamable-http.ts";
import { serveWebSocket } from "./transports/websocket.ts";

const { values } = parseArgs({
  options: {
    era: { type: "string", default: "both" },
    transport: { type: "string", default: "stdio" },
    port: { type: "string", default: "0" },
    /** The newest that a legacy client gets. */
    revision: { type: "string" },
    /** How many a list has per page; everything, unless given. */
    "page-size": { type: "string" },
  },
});

const ERAS: readonly string[] = ["legacy", "modern", "both"] satisfies ServedEra[];
if (!ERAS.includes(values.era)) throw new Error(`--era is one of ${ERAS.join(", ")}, not ${values.era}`);
const era = values.era as ServedEra;
const pageSize = values["page-size"] === undefined ? undefined : Number(values["page-size"]);
const factory = createFactory({ pageSize, revision: values.revision });

function start(): Promise<{ url: string; close: () => Promise<void> }> | undefined {
  const port = Number(values.port);
  switch (values.transport) {
    case "stdio":
      return undefined;
    case "http":
      return serveStreamableHttp(factory, era, port);
    case "sse":
      return serveHttpSse(factory, port);
    case "ws":
      return serveWebSocket(factory, era, port);
    default:
      throw new Error(`--transport is one of stdio, http, sse, ws, not ${values.transport}`);
  }
}

const listening = await start();
if (listening === undefined) {
  process.stdin.once("end", () => process.exit(0));
  await serveConnection(factory, era, new StdioServerTransport());
} else {
  process.stdout.write(`${JSON.stringify({ url: listening.url })}\n`);
}
for (const signal of ["SIGINT", "SIGTERM"] as const)
  process.once(signal, () => void Promise.resolve(listening?.close()).finally(() => process.exit(0)));
