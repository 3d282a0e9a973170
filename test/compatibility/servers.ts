import { spawn } from "node:child_process";
import { once } from "node:events";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { openPeer, type Peer, type PeerOptions, REVISIONS, type Revision } from "@tollgate/testkit";
import { capabilitiesOf, isModern } from "./cell.ts";

const ROOT = join(import.meta.dirname, "..", "..");
/** The conformance server: see tools/conformance/README.md for what it has. */
export const SERVER_PROGRAM: string = join(ROOT, "tools", "conformance", "src", "server", "main.ts");
const BRIDGE_PROGRAM = join(ROOT, "tools", "bridge", "src", "main.ts");
export const GROUP = "compat";
const PAGE_SIZE = "4";

export function argsFor(revision: Revision): string[] {
  const era = isModern(revision) ? ["--era", "modern"] : ["--era", "legacy", "--revision", revision];
  return [...era, "--page-size", PAGE_SIZE];
}

export const serverIdOf = (revision: Revision): string => `r${revision}`;
export const routeOf = (serverId: string): string => `/mcp/${GROUP}/${serverId}`;

/** A server of each revision, each a process of the runner's. JSON is YAML. */
export function stdioServers(): object[] {
  return REVISIONS.map((revision) => ({
    id: serverIdOf(revision),
    group: GROUP,
    type: "node",
    command: SERVER_PROGRAM,
    args: argsFor(revision),
  }));
}

export function openDirect(revision: Revision): Promise<Peer> {
  return openPeer({
    revision,
    to: { command: process.execPath, args: [SERVER_PROGRAM, ...argsFor(revision)] },
  });
}

export const TRANSPORTS_IN = ["Streamable HTTP", "HTTP+SSE", "WebSocket", "stdio (the bridge)"] as const;
export type TransportIn = (typeof TRANSPORTS_IN)[number];

/** Where a client connects to, at a gateway's route. */
export function routeBy(
  transport: TransportIn,
  { url, token }: { url: string; token: string },
): Pick<PeerOptions, "to" | "revision"> {
  switch (transport) {
    case "Streamable HTTP":
      return { revision: "2025-11-25", to: { url, token } };
    case "HTTP+SSE":
      return { revision: "2024-11-05", to: { url: `${url}/sse`, token, transport: "sse" } };
    case "WebSocket":
      return { revision: "2025-11-25", to: { url: `${url}/ws`, token, transport: "websocket" } };
    case "stdio (the bridge)": {
      const env = { HOME: join(tmpdir(), "no-such-home"), TOLLGATE_TOKEN: token, TOLLGATE_URL: url };
      return { revision: "2025-11-25", to: { command: process.execPath, args: [BRIDGE_PROGRAM], env } };
    }
  }
}

const FIELDS: Readonly<Record<string, unknown>> = {
  username: "ada",
  email: "ada@example.com",
  name: "Ada",
  color: "green",
  context: "the user's own",
  ok: true,
};

/** What an able client says to whatever the conformance server may ask. */
export const ANSWERS: NonNullable<PeerOptions["answers"]> = {
  "sampling/createMessage": ({ messages }) => ({
    role: "assistant",
    content: { type: "text", text: `sampled "${messages[0].content.text}"` },
    model: "none",
    stopReason: "endTurn",
  }),
  "roots/list": () => ({ roots: [{ uri: "file:///project", name: "project" }] }),
  "elicitation/create"({ mode, requestedSchema }) {
    if (mode === "url") return { action: "accept" };
    const names = Object.keys(requestedSchema.properties);
    return { action: "accept", content: Object.fromEntries(names.map((name) => [name, FIELDS[name]])) };
  },
};

export function ableClient(options: Pick<PeerOptions, "to" | "revision">): Promise<Peer> {
  return openPeer({ ...options, capabilities: capabilitiesOf(options.revision), answers: ANSWERS });
}

export interface Listening {
  readonly url: string;
  readonly stop: () => Promise<void>;
}

/** The conformance server as a process that listens by itself. */
export async function startListening(args: readonly string[]): Promise<Listening> {
  const child = spawn(process.execPath, [SERVER_PROGRAM, ...args], { stdio: ["ignore", "pipe", "inherit"] });
  const exited = once(child, "exit");
  const [line] = (await once(createInterface({ input: child.stdout }), "line")) as [string];
  return {
    url: (JSON.parse(line) as { url: string }).url,
    async stop() {
      child.kill();
      await exited;
    },
  };
}
