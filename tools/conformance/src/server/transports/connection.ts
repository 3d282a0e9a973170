import type { Transport } from "@modelcontextprotocol/server";
import { serveStdio } from "@modelcontextprotocol/server/stdio";
import type { FixtureFactory } from "../fixture-server.ts";

export type ServedEra = "legacy" | "modern" | "both";

/** Serves one client on a transport of its own; in `both`, its first message tells which era it speaks. */
export async function serveConnection(factory: FixtureFactory, era: ServedEra, transport: Transport): Promise<void> {
  // As an old server does: it knows nothing of server/discover.
  if (era === "legacy") return factory.create("legacy", true).connect(transport);
  serveStdio((context) => factory.create(context.era, true), {
    transport,
    legacy: era === "both" ? "serve" : "reject",
  });
}
