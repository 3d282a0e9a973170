import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { SERVER_PROGRAM } from "./fixture-process.ts";

const LAUNCHER = join(import.meta.dirname, "..", "..", "tollgate", "src", "main.ts");
const START_TIMEOUT_MS = 180_000;
const GROUP = "conformance";

export interface Installation {
  readonly gatewayUrl: string;
  readonly token: string;
  readonly stop: () => Promise<void>;
}

/** A server's own route, where its names have no prefix. */
export function routeOf(server: string): string {
  return `/mcp/${GROUP}/${server}`;
}

/** A whole Tollgate, as a user starts it, with the conformance servers and an empty state of its own. */
export async function startInstallation(
  httpUrls: Readonly<Record<"legacy" | "modern", string>>,
): Promise<Installation> {
  const state = await mkdtemp(join(tmpdir(), "tollgate-conformance-"));
  const launcher = (...words: string[]) =>
    promisify(execFile)(process.execPath, [LAUNCHER, ...words, "--state", state], { timeout: START_TIMEOUT_MS });
  const stop = async (): Promise<void> => {
    await launcher("stop");
    await rm(state, { recursive: true, force: true });
  };
  try {
    const config = join(state, "tollgate.yaml");
    await writeFile(config, configuration(httpUrls));
    await launcher("up", "--detach", "--port", "0", "--config", config);
    const connect = await readFile(join(state, "connect.json"), "utf8");
    const { gatewayUrl, token } = JSON.parse(connect) as { gatewayUrl: string; token: string };
    return { gatewayUrl, token, stop };
  } catch (error) {
    await stop().catch(() => undefined);
    throw error;
  }
}

/** Without policies the installation's own tokens may use everything. JSON is YAML. */
function configuration(httpUrls: Readonly<Record<"legacy" | "modern", string>>): string {
  const servers = (["legacy", "modern"] as const).flatMap((era) => [
    { id: `conformance-stdio-${era}`, group: GROUP, type: "node", command: SERVER_PROGRAM, args: ["--era", era] },
    {
      id: `conformance-http-${era}`,
      group: GROUP,
      type: "remote",
      url: httpUrls[era],
      transport: "streamable-http",
    },
  ]);
  return JSON.stringify({ groups: [{ id: GROUP, name: "Conformance" }], mcp_servers: servers });
}
