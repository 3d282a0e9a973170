import { rmSync } from "node:fs";
import { join } from "node:path";
import { type DesiredControlPlane, publicUrlOf } from "@tollgate/desired-state";
import { AppError } from "@tollgate/errors";
import { bridgeBundle, buildBridge } from "./bridge.ts";
import { allowsOwnTokensOnly, readConfigFile } from "./desired.ts";
import { makeFirstCall } from "./first-call.ts";
import { type GatewayClient, openGatewayClient } from "./gateway-client.ts";
import { type Installation, openInstallation } from "./installation.ts";
import { endLeftovers } from "./leftovers.ts";
import { assertPortFree, pickPorts } from "./ports.ts";
import { liveRun } from "./run-file.ts";
import { type Screen, timed } from "./screen.ts";
import { openSecrets, type Secrets } from "./secrets.ts";
import { clearStateDir, prepareFilesDir, prepareStateDir, type StateDir, writePrivateFile } from "./state-dir.ts";
import { renderWelcome } from "./welcome.ts";

const GATEWAY_TIMEOUT_MS = 15_000;
const SERVERS_TIMEOUT_MS = 30_000;

export interface UpCommand {
  /** Started by `up --detach`: tells its progress over the IPC channel and outlives it. */
  readonly background: boolean;
  readonly reset: boolean;
  /** 0 picks a free one; absent takes the configuration file's. */
  readonly port: number | undefined;
}

export interface UpOptions {
  readonly command: UpCommand;
  readonly root: string;
  readonly state: StateDir;
  readonly configFile: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly openScreen: () => Screen;
  /** Aborted when the user wants an end: with an order that is kept, within ten seconds. */
  readonly signal: AbortSignal;
  /** Is given what ends everything at once, for a user who does not want to wait. */
  readonly onKillable: (kill: () => void) => void;
  readonly onReady: () => void;
}

/** Starts everything, shows it, and keeps it running until `signal` aborts. Rejects with what could not be done. */
export async function up(options: UpOptions): Promise<void> {
  const { command, state, signal } = options;
  await claim(state, command.reset);
  prepareStateDir(state);
  prepareFilesDir(state.filesDir);
  const screen = options.openScreen();
  const secrets = openSecrets(state);
  const desired = readConfigFile({ file: options.configFile, env: options.env, secrets, filesDir: state.filesDir });
  for (const warning of desired.warnings) screen.line(`! ${warning}`);
  const { controlPlane } = desired;
  const asked = command.port ?? controlPlane.port;
  const gatewayPort = asked === 0 ? (await pickPorts(["gateway"])).gateway : asked;
  await assertPortFree(controlPlane.host, gatewayPort);

  const failed = new AbortController();
  const ending = AbortSignal.any([signal, failed.signal]);
  const installation = await openInstallation({
    ...options,
    secrets,
    controlPlane,
    gatewayPort,
    screen,
    logLevel: options.env["TOLLGATE_LOG_LEVEL"] ?? "info",
    signal: ending,
    onGivenUp: (reason) => {
      screen.line(`✗ ${reason}; stopping everything`);
      failed.abort(new AppError("unavailable", `stopped since ${reason}; its log is in ${state.logsDir}`));
    },
  });
  options.onKillable(() => installation.kill());
  try {
    const listening = { ...controlPlane, port: gatewayPort };
    await bringUp({ ...options, signal: ending, installation, secrets, screen, controlPlane: listening });
    if (allowsOwnTokensOnly(desired)) screen.show(OPEN_TO_OWN_TOKENS);
    options.onReady();
    await aborted(ending);
  } catch (error) {
    if (!ending.aborted) throw error;
  } finally {
    rmSync(state.connectFile, { force: true });
    if (signal.aborted) screen.line("Stopping …");
    await installation.stop();
    if (signal.aborted) screen.line("Stopped.");
  }
  failed.signal.throwIfAborted();
}

const OPEN_TO_OWN_TOKENS =
  "The configuration file has no policies: the two tokens of this installation, and only they, may use every tool.\n";

/** Makes this launcher the only one of the state, and ends what one that was killed has left. */
async function claim(state: StateDir, reset: boolean): Promise<void> {
  const run = liveRun(state);
  if (run !== undefined && reset) {
    throw new AppError(
      "failed_precondition",
      `Tollgate runs (process ${run.launcher.pid}): "npm stop" first, then reset`,
    );
  }
  if (run?.url !== undefined) throw new AlreadyRunning(run.url);
  if (run !== undefined) {
    throw new AppError("failed_precondition", `Tollgate is being started or stopped by process ${run.launcher.pid}`);
  }
  await endLeftovers(state);
  rmSync(state.connectFile, { force: true });
  if (reset) clearStateDir(state);
}

/** Not a failure: what was asked for is there. */
export class AlreadyRunning extends Error {
  constructor(url: string) {
    super(`Tollgate runs already: ${url}   ("npm stop" ends it)`);
  }
}

async function bringUp(
  options: UpOptions & {
    installation: Installation;
    secrets: Secrets;
    screen: Screen;
    controlPlane: DesiredControlPlane;
  },
): Promise<void> {
  const { installation, state, secrets, screen, signal, controlPlane, root } = options;
  const { token, adminToken } = secrets;
  // Settled at once, so that a failing start does not leave it unheard.
  const bridge = timed(screen, "bridge", () => buildBridge(root)).then(
    () => undefined,
    (error: unknown) => error as Error,
  );
  const urls = await installation.start();
  const bridgeProblem = await bridge;
  if (bridgeProblem) throw new AppError("internal", `the bridge cannot be built: ${bridgeProblem.message}`);
  const { ssl } = controlPlane;
  const gatewayUrl = publicUrlOf({ ...controlPlane, publicUrl: undefined });
  // A certificate is for the name under which clients know the gateway.
  const clientsUrl = ssl === undefined ? gatewayUrl : publicUrlOf(controlPlane);
  const certFile = ssl?.certFile;
  const gateway = openGatewayClient({ url: gatewayUrl, certFile, token: adminToken });
  await gateway.untilReady({ timeoutMs: GATEWAY_TIMEOUT_MS, signal });
  const mcpUrl = `${clientsUrl}/mcp`;
  if (ssl?.clientCertificates === "required") {
    screen.line("  clients need certificates, and this launcher has none: no first call is made");
  } else {
    await showServers(gateway, screen, signal);
    const caFile = options.env["NODE_EXTRA_CA_CERTS"] ?? certFile;
    const call = { root, mcpUrl, token, caFile, home: state.envDir, gateway, screen, signal };
    await makeFirstCall(call).catch((error: Error) => {
      signal.throwIfAborted();
      screen.line(`✗ the first call failed: ${error.message}; the logs are in ${state.logsDir}`);
    });
  }
  writePrivateFile(
    state.connectFile,
    `${JSON.stringify({ gatewayUrl, mcpUrl, token, adminToken, ...urls, certFile }, null, 2)}\n`,
  );
  installation.ready(gatewayUrl);
  const isDefault = state.dir === join(root, ".tollgate");
  const welcome = renderWelcome({
    gatewayUrl: clientsUrl,
    token,
    adminTokenPlace: `"adminToken" in ${isDefault ? ".tollgate/connect.json" : state.connectFile}`,
    adminTokenCommand: `node -p 'JSON.parse(fs.readFileSync("${isDefault ? ".tollgate/connect.json" : state.connectFile}")).adminToken'`,
    bridge: bridgeBundle(root),
    stopCommand: isDefault ? "npm stop" : `npm stop -- --state ${state.dir}`,
  });
  writePrivateFile(state.welcomeFile, welcome);
  screen.show(welcome);
}

async function showServers(gateway: GatewayClient, screen: Screen, signal: AbortSignal): Promise<void> {
  for (const server of await gateway.settledServers({ timeoutMs: SERVERS_TIMEOUT_MS, signal })) {
    const { id, status, reason, tools, enabled } = server;
    if (!enabled) screen.line(`- server ${id}: disabled`);
    else if (status === "ready") screen.line(`✓ server ${id}: ${tools} tools`);
    else screen.line(`✗ server ${id}: ${status}${reason === "" ? "" : `: ${reason}`}`);
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}
