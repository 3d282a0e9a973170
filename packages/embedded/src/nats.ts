import { randomUUID } from "node:crypto";
import { mkdir, rename, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { join, resolve } from "node:path";
import { EmbeddedError } from "./embedded-error.ts";
import { assertUnused, natsPidFile, natsStop } from "./leftover.ts";
import { openLog } from "./log-file.ts";
import { PortTakenError, withPort } from "./port.ts";
import { type Running, startServer, stopServer, untilReady } from "./process.ts";

/** JetStream reads its streams back before it listens; that takes long when they are large. */
const readyWithinMs = 60_000;
const infoWithinMs = 1_000;
const infoBytesMax = 16 * 1024;

const STORE_MAX_GIGABYTES = 20;

export interface NatsOptions {
  /** A nats-server, as `findNatsServer` gives it. */
  readonly binary: string;
  /** Holds configuration, pid file and streams. */
  readonly dataDir: string;
  /** 0 picks a free one. */
  readonly port: number;
  readonly user: string;
  readonly password: string;
  readonly logFile: string;
  /** What all streams together may hold; 20 GB when absent. Streams reserve their own limits of it. */
  readonly storeMaxGigabytes?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Starts a NATS server with JetStream on 127.0.0.1; `url` carries user and password.
 * @throws EmbeddedError port taken, data directory in use, or not ready (with the end of its log)
 */
export async function startNats(options: NatsOptions): Promise<Running & { readonly url: string }> {
  const dataDir = resolve(options.dataDir);
  const log = await openLog(options.logFile);
  await mkdir(dataDir, { recursive: true, mode: 0o700 });
  await assertUnused({ name: "NATS", dataDir, pidFile: natsPidFile });
  return withPort({ name: "NATS", port: options.port }, async (port) => {
    const serverName = `tollgate-${randomUUID()}`;
    const configFile = join(dataDir, "nats-server.conf");
    await writePrivate(configFile, configText({ ...options, dataDir, port, serverName }));
    const child = await startServer({ file: options.binary, args: ["-c", configFile] }, log);
    await untilReady({
      name: "NATS",
      child,
      log,
      timeoutMs: readyWithinMs,
      stop: natsStop,
      signal: options.signal,
      probe: async () => ((await readServerName(port)) === serverName ? true : undefined),
    }).catch((error: unknown) => {
      throw isPortTaken(error) ? new PortTakenError("NATS", port, error) : error;
    });
    let stopping: Promise<void> | undefined;
    const login = `${encodeURIComponent(options.user)}:${encodeURIComponent(options.password)}`;
    return {
      pid: child.pid,
      port,
      url: `nats://${login}@127.0.0.1:${port}`,
      exited: child.exited,
      stop: () => (stopping ??= stopServer(child, natsStop)),
    };
  });
}

function isPortTaken(error: unknown): boolean {
  return error instanceof Error && /bind: address already in use/.test(error.message);
}

/** Replaced as a whole and never readable by others: it holds the password, which must not be on the command line. */
async function writePrivate(file: string, text: string): Promise<void> {
  const part = `${file}.part`;
  await writeFile(part, text, { mode: 0o600 });
  await rename(part, file);
}

function configText(options: NatsOptions & { readonly serverName: string }): string {
  return `# Written at each start; changes are lost.
server_name: ${quoted(options.serverName)}
listen: "127.0.0.1:${options.port}"
authorization {
  user: ${quoted(credential("user", options.user))}
  password: ${quoted(credential("password", options.password))}
}
jetstream {
  store_dir: ${quoted(options.dataDir)}
  max_memory_store: 256MB
  max_file_store: ${options.storeMaxGigabytes ?? STORE_MAX_GIGABYTES}GB
}
max_payload: 8MB
max_pending: 64MB
max_connections: 1024
pid_file: ${quoted(join(options.dataDir, natsPidFile))}
logfile: ${quoted(resolve(options.logFile))}
logfile_size_limit: 16MB
logfile_max_num: 3
`;
}

/** JSON's quoting is NATS's for everything but control characters, which neither a path nor a credential needs. */
function quoted(text: string): string {
  return JSON.stringify(text);
}

/** NATS takes a password beginning with `$2a$` for a bcrypt hash, which a client could never match. */
function credential(name: string, text: string): string {
  if (!/^[\x21-\x7e]+$/.test(text) || text.startsWith("$2"))
    throw new EmbeddedError("invalid_argument", `the NATS ${name} must be printable ASCII without spaces, and no hash`);
  return text;
}

/** The name in the INFO line that a NATS server sends first on every connection; undefined when nothing usable came. */
function readServerName(port: number): Promise<string | undefined> {
  return new Promise((done) => {
    let text = "";
    const socket = connect({ port, host: "127.0.0.1" });
    const finish = (name: string | undefined): void => {
      socket.destroy();
      done(name);
    };
    socket.setEncoding("utf8").setTimeout(infoWithinMs, () => finish(undefined));
    socket.on("error", () => finish(undefined));
    socket.on("close", () => finish(undefined));
    socket.on("data", (chunk: string) => {
      text += chunk;
      if (text.includes("\r\n")) finish(/^INFO .*"server_name":"([^"]+)"/.exec(text)?.[1]);
      else if (text.length > infoBytesMax) finish(undefined);
    });
  });
}
