import { connect } from "node:net";
import { type Config, ConfigError, type ConfigSources, defaultConfigFile, loadConfig } from "./config.ts";
import { type Delivery, exchange } from "./exchange.ts";
import { parseLine, PROTOCOL_VERSION_KEY } from "./frame.ts";
import { type Gateway, openGateway, reasonOf } from "./gateway.ts";
import { modernHeaders } from "./headers.ts";
import { isObject, rpcErrorOf } from "./rpc-error.ts";

const checkMsMax = 10_000;
const toolPagesMax = 100;
const oldestNode = 20;

export interface DoctorOptions {
  readonly sources: ConfigSources;
  readonly version: string;
  readonly nodeVersion: string;
  readonly say: (line: string) => void;
}

/** Checks the way to the gateway step by step, up to the first that fails. Returns whether all is well. */
export async function diagnose(options: DoctorOptions): Promise<boolean> {
  const { say } = options;
  let gateway: Gateway | undefined;
  try {
    say(`ok    ${checkNode(options.nodeVersion)}`);
    const config = await loadConfig(options.sources);
    const path = options.sources.flags.config ?? defaultConfigFile(options.sources.home);
    say(`ok    configuration: ${config.file ?? `no file ${path}; flags and environment suffice`}`);
    say(`ok    URL: ${config.url.href}`);
    await checkPort(config.url);
    say(`ok    ${config.url.host} takes connections`);
    await checkHealth(config.url);
    say("ok    the gateway says that it is healthy");
    gateway = await openGateway({ ...config, silenceMsMax: checkMsMax, version: options.version });
    await ask(gateway, "server/discover", {}, options.version);
    say("ok    the token is accepted");
    say(`ok    ${await countTools(gateway, options.version)} tools can be used with it`);
    return true;
  } catch (error) {
    const problems = error instanceof ConfigError ? error.problems : [reasonOf(error)];
    for (const problem of problems) say(`FAIL  ${problem}`);
    return false;
  } finally {
    gateway?.close();
  }
}

function checkNode(nodeVersion: string): string {
  if (Number.parseInt(nodeVersion, 10) >= oldestNode) return `Node ${nodeVersion}`;
  throw new Error(`Node ${nodeVersion} is too old; install Node ${oldestNode} or newer`);
}

function checkPort(url: Config["url"]): Promise<void> {
  const port = Number(url.port || (url.protocol === "https:" ? 443 : 80));
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

async function checkHealth(url: URL): Promise<void> {
  const address = new URL("/healthz", url);
  const response = await fetch(address, { signal: AbortSignal.timeout(checkMsMax) }).catch((error: unknown) => {
    const cause = error instanceof Error && error.cause !== undefined ? error.cause : error;
    throw new Error(
      `${address.href} does not answer (${reasonOf(cause)}); is it a Tollgate gateway, and http or https as in the URL?`,
    );
  });
  await response.body?.cancel();
  if (!response.ok) throw new Error(`${address.href} answers ${response.status}; look into the gateway's log`);
}

async function countTools(gateway: Gateway, version: string): Promise<number> {
  let count = 0;
  let cursor: unknown;
  for (let page = 0; page < toolPagesMax; page++) {
    const result = await ask(gateway, "tools/list", cursor === undefined ? {} : { cursor }, version);
    count += Array.isArray(result["tools"]) ? result["tools"].length : 0;
    cursor = result["nextCursor"];
    if (cursor === undefined) return count;
  }
  return count;
}

/** One modern request, which needs no session. Throws with what to do if it gets no result. */
async function ask(
  gateway: Gateway,
  method: string,
  params: object,
  version: string,
): Promise<Record<string, unknown>> {
  const meta = {
    [PROTOCOL_VERSION_KEY]: "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
    "io.modelcontextprotocol/clientInfo": { name: "tollgate-bridge doctor", version },
  };
  const [inbound] = parseLine(
    Buffer.from(JSON.stringify({ jsonrpc: "2.0", id: 1, method, params: { ...params, _meta: meta } })),
  );
  if (!inbound?.ok) throw new Error(`cannot ask ${method}`);
  let answer: Record<string, unknown> = {};
  const delivery: Delivery = {
    answer: (_line, message) => Promise.resolve(void (answer = message)),
    message: () => Promise.resolve(),
  };
  const { frame } = inbound;
  const signal = AbortSignal.timeout(checkMsMax);
  const outcome = await exchange({
    gateway,
    frame,
    headers: modernHeaders(frame),
    signal,
    delivery,
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
