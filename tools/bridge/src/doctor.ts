import { connect } from "node:net";
import { type Config, ConfigError, type ConfigSources, defaultConfigFile, loadConfig } from "./config.ts";
import { frameOf, PROTOCOL_VERSION_KEY } from "./frame.ts";
import { openGateway } from "./gateway.ts";
import { modernHeaders } from "./headers.ts";
import { reasonOf } from "./link-error.ts";
import type { Link } from "./link.ts";
import type { Log } from "./log.ts";
import { openLink } from "./open-link.ts";
import { knowsProxies, proxyVariable } from "./proxy.ts";
import { isObject, rpcErrorOf } from "./rpc-error.ts";
import { chooseTools } from "./tool-set.ts";

const checkMsMax = 10_000;
const toolPagesMax = 100;
const oldestNode = 20;
const nowhere = (): void => {};
const noLog: Log = { error: nowhere, warn: nowhere, info: nowhere, debug: nowhere };

export interface DoctorOptions {
  readonly sources: ConfigSources;
  readonly version: string;
  readonly nodeVersion: string;
  readonly say: (line: string) => void;
}

/** Checks the way to the gateway step by step, up to the first that fails. Returns whether all is well. */
export async function diagnose(options: DoctorOptions): Promise<boolean> {
  const { say } = options;
  let link: Link | undefined;
  try {
    say(`ok    ${checkNode(options.nodeVersion)}`);
    const configured = await loadConfig(options.sources);
    const chosen = await chooseTools(configured);
    const config = { ...configured, url: chosen.url };
    const path = options.sources.flags.config ?? defaultConfigFile(options.sources.home);
    say(`ok    configuration: ${config.file ?? `no file ${path}; flags and environment suffice`}`);
    say(`ok    URL: ${config.url.href}`);
    say(`ok    ${chosen.why}`);
    if (!reportProxy(config, options)) {
      await checkPort(config.url);
      say(`ok    ${config.url.host} takes connections`);
    }
    const connection = { ...config, silenceMsMax: checkMsMax, version: options.version };
    await checkHealth(connection);
    say("ok    the gateway says that it is healthy");
    const unasked = { take: () => undefined, write: () => Promise.resolve() };
    link = await openLink({ ...connection, log: noLog, unasked });
    await ask(link, "server/discover", {}, options.version);
    say("ok    the token is accepted");
    say(`ok    ${await countTools(link, options.version)} tools can be used with it`);
    return true;
  } catch (error) {
    const problems = error instanceof ConfigError ? error.problems : [reasonOf(error)];
    for (const problem of problems) say(`FAIL  ${problem}`);
    return false;
  } finally {
    link?.close();
  }
}

/** Whether the way leads through a proxy, so that the gateway's own port may be out of reach. */
function reportProxy({ url, proxyEnv }: Config, { nodeVersion, say }: DoctorOptions): boolean {
  const variable = proxyVariable(url, proxyEnv);
  if (variable === undefined) return false;
  const isUsed = knowsProxies(nodeVersion);
  say(
    isUsed
      ? `ok    ${variable} is used, unless NO_PROXY names ${url.hostname}`
      : `note  ${variable} is set, but Node ${nodeVersion} does not use it; Node 22.21, 24.5 and newer do`,
  );
  return isUsed;
}

function checkNode(nodeVersion: string): string {
  if (Number.parseInt(nodeVersion, 10) >= oldestNode) return `Node ${nodeVersion}`;
  throw new Error(`Node ${nodeVersion} is too old; install Node ${oldestNode} or newer`);
}

function checkPort(url: Config["url"]): Promise<void> {
  const isSecure = url.protocol === "https:" || url.protocol === "wss:";
  const port = Number(url.port || (isSecure ? 443 : 80));
  return new Promise((resolve, reject) => {
    const fail = (reason: string): void => {
      socket.destroy();
      reject(
        new Error(
          `nothing answers at ${url.host} (${reason}); is the gateway running, and is the URL's host and port right?`,
        ),
      );
    };
    const socket = connect({ host: url.hostname.replace(/^\[|\]$/g, ""), port });
    socket.setTimeout(checkMsMax, () => fail("no connection in time"));
    socket.on("error", (error) => fail(reasonOf(error)));
    socket.on("connect", () => {
      socket.destroy();
      resolve();
    });
  });
}

async function checkHealth(options: Parameters<typeof openGateway>[0]): Promise<void> {
  const address = new URL("/healthz", options.url);
  address.protocol = options.url.protocol.replace("ws", "http");
  const gateway = await openGateway({ ...options, url: address });
  const signal = AbortSignal.timeout(checkMsMax);
  try {
    const head = await gateway.request({ method: "GET", headers: {}, signal, mayBeSilent: false });
    head.resume();
    if (head.statusCode !== 200)
      throw new HealthError(`${address.href} answers ${head.statusCode}; look into the gateway's log`);
  } catch (error) {
    if (error instanceof HealthError) throw error;
    throw new Error(
      `${address.href} does not answer (${reasonOf(error)}); is it a Tollgate gateway, and http or https as in the URL?`,
      { cause: error },
    );
  } finally {
    gateway.close();
  }
}

class HealthError extends Error {}

async function countTools(link: Link, version: string): Promise<number> {
  let count = 0;
  let cursor: unknown;
  for (let page = 0; page < toolPagesMax; page++) {
    const result = await ask(link, "tools/list", cursor === undefined ? {} : { cursor }, version);
    count += Array.isArray(result["tools"]) ? result["tools"].length : 0;
    cursor = result["nextCursor"];
    if (cursor === undefined) return count;
  }
  return count;
}

/** One modern request, which needs no session. Throws with what to do if it gets no result. */
async function ask(link: Link, method: string, params: object, version: string): Promise<Record<string, unknown>> {
  const meta = {
    [PROTOCOL_VERSION_KEY]: "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
    "io.modelcontextprotocol/clientInfo": { name: "tollgate-bridge doctor", version },
  };
  const frame = frameOf(JSON.stringify({ jsonrpc: "2.0", id: 1, method, params: { ...params, _meta: meta } }));
  let answer: Readonly<Record<string, unknown>> = {};
  const outcome = await link.exchange({
    frame,
    headers: modernHeaders(frame),
    inSession: false,
    signal: AbortSignal.timeout(checkMsMax),
    delivery: {
      write: () => Promise.resolve(),
      take: ({ request, message }) => {
        if (request) answer = message;
        return undefined;
      },
    },
  });
  if (outcome.kind !== "done") {
    // Here the doctor is what runs already.
    const reason = outcome.failure.message.replace('; run "tollgate-bridge doctor"', "");
    throw new Error(
      outcome.failure.code === "unauthenticated"
        ? `${reason}; take a valid token from the gateway's owner`
        : `${method}: ${reason}`,
    );
  }
  const error = rpcErrorOf(answer);
  if (error) throw new Error(`${method}: ${error.message} (${error.code})`);
  return isObject(answer["result"]) ? answer["result"] : {};
}
