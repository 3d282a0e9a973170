import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { promisify } from "node:util";
import { SERVER_PROGRAM } from "./fixture-process.ts";

const LAUNCHER = join(import.meta.dirname, "..", "..", "tollgate", "src", "main.ts");
const START_TIMEOUT_MS = 180_000;
const READY_TIMEOUT_MS = 30_000;
const READY_CHECK_MS = 200;
const BRIDGE = join(import.meta.dirname, "../../bridge/dist/tollgate-bridge.mjs");
const GROUP = "conformance";
/** The suite leaves requests that ask it for input as they are, and each holds its process for minutes. */
const POOL = { max: 64, max_per_tenant: 64 };
const ERAS = ["legacy", "modern"] as const;

type HttpUrls = Readonly<Record<(typeof ERAS)[number], string>>;

export interface Installation {
  readonly gatewayUrl: string;
  readonly token: string;
  readonly stop: () => Promise<void>;
}

/** A server's own route, where its names have no prefix. */
export function routeOf(server: string): string {
  return `/mcp/${GROUP}/${server}`;
}

/**
 * A whole Tollgate, as a user starts it, with the conformance servers and an empty state of its own. Its bridges lead back
 * to its own stdio servers: client, gateway, runner, bridge, gateway, runner, server.
 */
export async function startInstallation(options: { httpUrls: HttpUrls; withBridges: boolean }): Promise<Installation> {
  const state = await mkdtemp(join(tmpdir(), "tollgate-conformance-"));
  const launcher = (...words: string[]) =>
    promisify(execFile)(process.execPath, [LAUNCHER, ...words, "--state", state], { timeout: START_TIMEOUT_MS });
  const stop = async (): Promise<void> => {
    await launcher("stop");
    await rm(state, { recursive: true, force: true });
  };
  try {
    const config = join(state, "tollgate.yaml");
    const servers = serversOf(options.httpUrls);
    await writeFile(config, configuration(servers));
    await launcher("up", "--detach", "--port", "0", "--config", config);
    const connect = await readFile(join(state, "connect.json"), "utf8");
    const { gatewayUrl, token } = JSON.parse(connect) as { gatewayUrl: string; token: string };
    if (options.withBridges) {
      // Only now it is known where they lead to; the file is followed.
      const bridges = bridgesTo(gatewayUrl, token);
      await writeFile(config, configuration([...servers, ...bridges]));
      for (const { id } of bridges) await ready(gatewayUrl + routeOf(id), token);
    }
    return { gatewayUrl, token, stop };
  } catch (error) {
    await stop().catch(() => undefined);
    throw error;
  }
}

function serversOf(httpUrls: HttpUrls): object[] {
  return ERAS.flatMap((era) => [
    {
      id: `conformance-stdio-${era}`,
      group: GROUP,
      type: "node",
      command: SERVER_PROGRAM,
      args: ["--era", era],
      pool: POOL,
    },
    {
      id: `conformance-http-${era}`,
      group: GROUP,
      type: "remote",
      url: httpUrls[era],
      transport: "streamable-http",
    },
  ]);
}

function bridgesTo(gatewayUrl: string, token: string) {
  return ERAS.map((era) => ({
    id: `conformance-bridge-${era}`,
    group: GROUP,
    type: "node",
    command: BRIDGE,
    args: ["--url", gatewayUrl + routeOf(`conformance-stdio-${era}`)],
    env: { TOLLGATE_TOKEN: token },
    pool: POOL,
  }));
}

/** Without policies the installation's own tokens may use everything. JSON is YAML. */
function configuration(servers: readonly object[]): string {
  return JSON.stringify({ groups: [{ id: GROUP, name: "Conformance" }], mcp_servers: servers });
}

/** Waits until a server's tools are there. */
async function ready(url: string, token: string): Promise<void> {
  const _meta = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
  };
  const headers = {
    authorization: `Bearer ${token}`,
    accept: "application/json, text/event-stream",
    "content-type": "application/json",
    "mcp-protocol-version": "2026-07-28",
    "mcp-method": "tools/list",
  };
  const body = JSON.stringify({ jsonrpc: "2.0", id: 1, method: "tools/list", params: { _meta } });
  const deadline = Date.now() + READY_TIMEOUT_MS;
  for (;;) {
    const response = await fetch(url, { method: "POST", headers, body });
    const answer = await response.text();
    if (answer.includes('"inputSchema"')) return;
    if (Date.now() > deadline) throw new Error(`${url} has no tools after ${READY_TIMEOUT_MS} ms: ${answer}`);
    await pause(READY_CHECK_MS);
  }
}
