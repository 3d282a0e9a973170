import { findNatsServer, type Running as Server, startNats, startPostgres } from "@tollgate/embedded";
import { signal as sendSignal } from "./process-identity.ts";
import type { Secrets } from "./secrets.ts";
import { downloadsDir, type StateDir } from "./state-dir.ts";
import type { Running } from "./supervisor.ts";

const STOP_WITHIN_MS = 2_000;

interface ServerOptions {
  readonly state: StateDir;
  readonly secrets: Secrets;
  readonly port: number;
  readonly signal: AbortSignal;
}

export async function startNatsServer(
  options: ServerOptions & { readonly log: (line: string) => void },
): Promise<Running & { readonly url: string }> {
  const { state, secrets, port, signal, log } = options;
  const binary = await findNatsServer({ cacheDir: downloadsDir(state), log, signal });
  const server = await startNats({
    binary,
    dataDir: state.natsDir,
    port,
    user: "tollgate",
    password: secrets.natsPassword,
    logFile: state.logFile("nats"),
    signal,
  });
  return { ...asRunning(server, "SIGKILL"), url: server.url };
}

export async function startPostgresServer(
  options: ServerOptions & { readonly log: (line: string) => void },
): Promise<Running & { readonly adminUrl: string }> {
  const { state, secrets, port, signal, log } = options;
  const server = await startPostgres({
    dataDir: state.postgresDir,
    port,
    password: secrets.databasePassword,
    logFile: state.logFile("postgres"),
    log,
    signal,
  });
  // Its immediate shutdown, which its next start makes good from the write-ahead log.
  return { ...asRunning(server, "SIGQUIT"), adminUrl: server.adminUrl };
}

/** With a shorter patience than the server's own way of stopping has, since everything has to be gone within ten seconds. */
function asRunning(server: Server, last: NodeJS.Signals): Running {
  const stop = async () => {
    const timer = setTimeout(() => sendSignal(server.pid, last), STOP_WITHIN_MS);
    await server.stop().finally(() => clearTimeout(timer));
  };
  const exited = server.exited.then((code) => (code === null ? "was ended by a signal" : `exited with code ${code}`));
  return { pid: server.pid, exited, stop };
}
