import { join } from "node:path";
import type { DesiredControlPlane } from "@tollgate/desired-state";
import { inDatabase, prepareDatabase } from "./database.ts";
import { startNatsServer, startPostgresServer } from "./infrastructure.ts";
import { endServerProcesses } from "./leftovers.ts";
import { boundLogs, rotateLog } from "./log-files.ts";
import { pickPorts } from "./ports.ts";
import { signal as sendSignal } from "./process-identity.ts";
import { openRunFile, type RunFile } from "./run-file.ts";
import { type Screen, timed } from "./screen.ts";
import type { Secrets } from "./secrets.ts";
import {
  DATABASE_SERVICES,
  type Place,
  planEnvironments,
  type ServiceName,
  SERVICES,
  STAGES,
  toEnvFile,
} from "./service-plan.ts";
import { startServiceProcess } from "./service-process.ts";
import { type StateDir, writePrivateFile } from "./state-dir.ts";
import { type Running, supervise, type Supervised } from "./supervisor.ts";

type PartName = ServiceName | "nats" | "postgres";

/** In this order, those of one line together; with STOP_WITHIN_MS and NATS's and PostgreSQL's 2 s, within 10 s in all. */
const STOP_ORDER: readonly (readonly PartName[])[] = [
  ["gateway"],
  ["runner"],
  ["policy", "registry", "audit", "metering"],
  ["nats", "postgres"],
];
const STOP_WITHIN_MS: Readonly<Record<ServiceName, number>> = {
  gateway: 3_000,
  runner: 3_000,
  policy: 1_500,
  registry: 1_500,
  audit: 1_500,
  metering: 1_500,
};
const DATABASE_WAIT_MS = 10_000;
const LOOPBACK = "127.0.0.1";

export interface InstallationOptions {
  /** The repository's folder. */
  readonly root: string;
  readonly state: StateDir;
  readonly secrets: Secrets;
  readonly configFile: string;
  readonly controlPlane: DesiredControlPlane;
  readonly gatewayPort: number;
  readonly logLevel: string;
  /** What policy and registry get of the launcher's own environment, for `${NAME}` in the configuration file. */
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly screen: Screen;
  /** Aborts the start, and all restarts. */
  readonly signal: AbortSignal;
  readonly onGivenUp: (reason: string) => void;
}

/** Everything that runs: NATS, PostgreSQL and the six services, each supervised. */
export interface Installation {
  /** @throws the first failure; what was started by then is ended by `stop` */
  start(): Promise<{ readonly natsUrl: string; readonly databaseUrl: string }>;
  ready(url: string): void;
  /** Gateway first, databases last; whatever does not end in its time is killed. */
  stop(): Promise<void>;
  /** At once and without order; for when there is no time. */
  kill(): void;
}

export async function openInstallation(options: InstallationOptions): Promise<Installation> {
  const { state } = options;
  const ports = await pickAllPorts(options.gatewayPort);
  const run = openRunFile(state, ports);
  const parts = new Map<PartName, Supervised>();
  const keep = createKeep(options, { run, parts });
  const logs = boundLogs(SERVICES.map((name) => state.logFile(name)));
  return {
    async start() {
      const urls = await startDatabases({ ...options, ports, keep });
      const places = placesFor(options, ports);
      const environments = planEnvironments({ ...options, ...urls, places, filesDir: state.filesDir });
      environments.runner["TOLLGATE_STATE_DIR"] = state.runnerDir;
      // Its secrets and databases are no server's business, wherever it lies.
      environments.runner["TOLLGATE_HIDDEN_FOLDERS"] = state.dir;
      for (const name of SERVICES) writePrivateFile(join(state.envDir, `${name}.env`), toEnvFile(environments[name]));
      for (const stage of STAGES) {
        await all(stage.map((name) => startService(name, { ...options, run, keep, environment: environments[name] })));
      }
      return urls;
    },
    ready: (url) => run.ready(url),
    async stop() {
      for (const names of STOP_ORDER) await Promise.all(names.map(async (name) => parts.get(name)?.stop()));
      endServerProcesses(state);
      logs.stop();
      run.remove();
    },
    kill() {
      for (const [name, { pid }] of parts) {
        if (name === "postgres") sendSignal(pid, "SIGQUIT");
        else sendSignal(-pid, "SIGKILL");
      }
      endServerProcesses(state);
    },
  };
}

/** Starts a part and keeps it running; gives what its first start gave. */
type Keep = <R extends Running>(name: PartName, start: (signal: AbortSignal) => Promise<R>) => Promise<R>;

function createKeep(
  options: InstallationOptions,
  { run, parts }: { run: RunFile; parts: Map<PartName, Supervised> },
): Keep {
  return async <R extends Running>(name: PartName, start: (signal: AbortSignal) => Promise<R>) => {
    let first: R | undefined;
    const supervised = await supervise({
      name,
      signal: options.signal,
      onLine: (line) => options.screen.line(`! ${line}`),
      onGivenUp: options.onGivenUp,
      start: async (signal) => {
        const running = await start(signal);
        run.started(name, running.pid);
        first ??= running;
        return running;
      },
    });
    parts.set(name, supervised);
    return first!;
  };
}

async function startDatabases(
  options: InstallationOptions & { ports: Ports; keep: Keep },
): Promise<{ natsUrl: string; databaseUrl: string }> {
  const { state, secrets, screen, ports, keep } = options;
  const common = { state, secrets, log: (line: string) => screen.line(`  ${line}`) };
  async function startPostgres(): Promise<string> {
    const start = (signal: AbortSignal) => startPostgresServer({ ...common, port: ports.postgres, signal });
    const { adminUrl } = await keep("postgres", start);
    const databaseUrl = inDatabase(adminUrl, "tollgate");
    await prepareDatabase({ databaseUrl, secrets, waitMs: DATABASE_WAIT_MS });
    return databaseUrl;
  }
  async function startNats(): Promise<string> {
    const start = (signal: AbortSignal) => startNatsServer({ ...common, port: ports.nats, signal });
    return (await keep("nats", start)).url;
  }
  const [natsUrl, databaseUrl] = await all([
    timed(screen, "NATS with JetStream", startNats),
    timed(screen, "PostgreSQL", startPostgres),
  ]);
  return { natsUrl: natsUrl!, databaseUrl: databaseUrl! };
}

async function startService(
  name: ServiceName,
  options: InstallationOptions & { run: RunFile; keep: Keep; environment: Readonly<Record<string, string>> },
): Promise<void> {
  const { root, run, keep, screen } = options;
  const logFile = options.state.logFile(name);
  rotateLog(logFile);
  const start = (signal: AbortSignal) =>
    startServiceProcess({
      name,
      script: join(root, "services", name, "src/main.ts"),
      cwd: root,
      env: { ...inheritedFor(name, options.env), ...compileCache(root), ...options.environment },
      logFile,
      stopWithinMs: STOP_WITHIN_MS[name],
      onSpawn: (pid) => run.started(name, pid),
      signal,
    });
  await timed(screen, name, () => keep(name, start));
}

/** Waits for all of them also when one fails: a start that is still under way could not be ended. */
async function all<T>(promises: readonly Promise<T>[]): Promise<T[]> {
  const settled = await Promise.allSettled(promises);
  return settled.map((each) => {
    if (each.status === "rejected") throw each.reason;
    return each.value;
  });
}

type Ports = Record<"nats" | "postgres" | `${ServiceName}-http` | `${(typeof DATABASE_SERVICES)[number]}-grpc`, number>;

async function pickAllPorts(gatewayPort: number): Promise<Ports> {
  const http = SERVICES.filter((name) => name !== "gateway").map((name) => `${name}-http` as const);
  const grpc = DATABASE_SERVICES.map((name) => `${name}-grpc` as const);
  const picked = await pickPorts(["nats", "postgres", ...http, ...grpc]);
  return { ...picked, "gateway-http": gatewayPort };
}

function placesFor(options: InstallationOptions, ports: Ports): Record<ServiceName, Place> {
  const place = (name: ServiceName): Place => ({
    bind: name === "gateway" ? options.controlPlane.host : LOOPBACK,
    host: LOOPBACK,
    httpPort: ports[`${name}-http`],
    grpcPort: (ports as Partial<Record<string, number>>)[`${name}-grpc`] ?? 0,
  });
  return Object.fromEntries(SERVICES.map((name) => [name, place(name)])) as Record<ServiceName, Place>;
}

/** What every program may need to run on this machine. */
const INHERITED = /^(PATH|HOME|USER|LANG|LC_\w+|TZ|TMPDIR|NODE_EXTRA_CA_CERTS)$/;

/** Halves the time that a service takes to start: Node keeps what it made of the TypeScript. As private as the code is. */
function compileCache(root: string): Record<string, string> {
  return { NODE_COMPILE_CACHE: join(root, "node_modules/.cache/node") };
}

/** What those who read the configuration put into it: the user's variables, and where the user's secrets are. */
const FOR_CONFIGURATION = /^(?!TOLLGATE_)|^TOLLGATE_SECRETS_DIR$/;
/** And what the registry reads of servers' secrets with: entries that the API has made cannot name it. */
const FOR_REGISTRY = /^(?!TOLLGATE_)|^TOLLGATE_(?:SECRETS_DIR$|VAULT_)/;
/** What a runner needs to install servers and to find a container engine. Its servers get none of it. */
const FOR_LAUNCHES = /^(?:(?:npm_config|pip|uv|docker|containers?)_.+|(?:https?|all|no)_proxy|xdg_runtime_dir)$/i;
const ALSO_INHERITED: Partial<Record<ServiceName, RegExp>> = {
  policy: FOR_CONFIGURATION,
  registry: FOR_REGISTRY,
  audit: FOR_CONFIGURATION,
  runner: FOR_LAUNCHES,
};

function inheritedFor(name: ServiceName, env: Readonly<Record<string, string | undefined>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(env).filter(
      (entry): entry is [string, string] =>
        entry[1] !== undefined && (INHERITED.test(entry[0]) || ALSO_INHERITED[name]?.test(entry[0]) === true),
    ),
  );
}
