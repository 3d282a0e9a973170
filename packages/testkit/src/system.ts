import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort } from "@tollgate/embedded";
import { afterAll, beforeAll } from "vitest";
import type { Infrastructure } from "./infrastructure.ts";
import { type ServiceProcess, startService } from "./service-process.ts";

const SERVICES = ["policy", "registry", "audit", "metering", "runner", "gateway"] as const;
export type ServiceName = (typeof SERVICES)[number];

export interface System {
  readonly gatewayUrl: string;
  readonly token: string;
  readonly adminToken: string;
  /** The token of one of the given tenants or colleagues. */
  tokenOf(tenant: string): string;
  /** Where the services listen for health and metrics. */
  readonly httpUrls: Readonly<Record<ServiceName, string>>;
  readonly stateDir: string;
  pid(service: ServiceName): number;
  /** kill -9. */
  kill(service: ServiceName): Promise<void>;
  start(service: ServiceName): Promise<void>;
  /** Ends it in order, and starts it as the project in `root` has it; undefined: this one. */
  replace(service: ServiceName, root?: string): Promise<void>;
  /** One more runner of all groups beside the first. It ends with the system, if not before. */
  startRunner(): Promise<ServiceProcess>;
  /** One more gateway. It ends with the system, if not before. */
  startGateway(): Promise<ServiceProcess & { readonly url: string }>;
  /** What the service has written last. */
  output(service: ServiceName): string;
  /** Replaces tollgate.yaml. */
  configure(yaml: string): Promise<void>;
}

export interface SystemOptions {
  /** tollgate.yaml without tokens: a caller's (`token`, permission mcp) and an administrator's are added. */
  readonly yaml: string;
  /** Each gets a token of its name. */
  readonly tenants?: readonly string[];
  /** More tokens of the tenant acme, by name; each has the permission mcp. */
  readonly colleagues?: readonly string[];
  readonly env?: Partial<Record<ServiceName, Record<string, string>>>;
  /** The project whose services are started at first: this one, if nothing is said. */
  readonly root?: string;
}

/** The six services as six processes, as a user runs them, on this test file's own database and streams. */
export function useSystem(infra: Infrastructure, options: SystemOptions): System {
  const system = createSystem(infra, options);
  beforeAll(() => system.startAll(), 90_000);
  afterAll(() => system.stopAll(), 90_000);
  return system;
}

/** The same where there is no test file: whoever makes it starts and stops it. */
export function createSystem(
  infra: Infrastructure,
  options: SystemOptions,
): System & { startAll(): Promise<void>; stopAll(): Promise<void> } {
  const processes = new Map<ServiceName, ServiceProcess>();
  /** Beside the first ones. */
  const more: ServiceProcess[] = [];
  const environments = new Map<ServiceName, Record<string, string>>();
  const httpUrls = {} as Record<ServiceName, string>;
  const token = `tg_${infra.busPrefix}_caller`;
  const adminToken = `tga_${infra.busPrefix}_admin`;
  let stateDir = "";

  async function configure(yaml: string): Promise<void> {
    const tokens = [
      `      - { name: caller, token: ${token}, tenant: acme, team: research, permissions: [mcp] }`,
      `      - { name: other, token: ${token}_other, tenant: rival, permissions: [mcp] }`,
      `      - { name: admin, token: ${adminToken}, tenant: acme, permissions: [mcp, admin] }`,
      ...(options.colleagues ?? []).map(
        (name) => `      - { name: ${name}, token: ${token}_${name}, tenant: acme, permissions: [mcp] }`,
      ),
      ...(options.tenants ?? []).map(
        (tenant) => `      - { name: ${tenant}, token: ${token}_${tenant}, tenant: ${tenant}, permissions: [mcp] }`,
      ),
    ];
    const head = `control_plane:\n  auth:\n    tokens:\n${tokens.join("\n")}\n`;
    await writeFile(join(stateDir, "tollgate.yaml"), head + yaml);
  }

  async function prepare(): Promise<void> {
    stateDir = await mkdtemp(join(tmpdir(), "tollgate-system-"));
    await configure(options.yaml);
    const grpc: Partial<Record<ServiceName, number>> = {};
    for (const service of ["policy", "registry", "audit", "metering"] as const) grpc[service] = await freePort();
    for (const service of SERVICES) {
      const port = await freePort();
      httpUrls[service] = `http://127.0.0.1:${port}`;
      environments.set(service, {
        PATH: process.env["PATH"] ?? "",
        HOME: process.env["HOME"] ?? "",
        TOLLGATE_LOG_LEVEL: "debug",
        TOLLGATE_SERVICE_KEY: infra.serviceKey,
        TOLLGATE_RECORDING_KEYS: infra.recordingKeys,
        TOLLGATE_SIGNING_SECRET: infra.signingSecret,
        TOLLGATE_SECRET_KEYS: infra.secretKeys,
        TOLLGATE_NATS_URL: infra.natsUrl,
        TOLLGATE_BUS_PREFIX: infra.busPrefix,
        TOLLGATE_HTTP_PORT: String(port),
        TOLLGATE_CONFIG_FILE: join(stateDir, "tollgate.yaml"),
        TOLLGATE_STATE_DIR: join(stateDir, "runner"),
        // Also where it is installed: tests know server processes by their pids, which are others inside of a sandbox.
        TOLLGATE_BWRAP: "none",
        TOLLGATE_GRPC_PORT: String(grpc[service] ?? 0),
        TOLLGATE_DATABASE_URL: grpc[service] === undefined ? "" : infra.databaseUrl(service),
        TOLLGATE_POLICY_ADDRESS: `127.0.0.1:${grpc.policy}`,
        TOLLGATE_REGISTRY_ADDRESS: `127.0.0.1:${grpc.registry}`,
        TOLLGATE_AUDIT_ADDRESS: `127.0.0.1:${grpc.audit}`,
        TOLLGATE_METERING_ADDRESS: `127.0.0.1:${grpc.metering}`,
        ...options.env?.[service],
      });
    }
  }

  async function start(service: ServiceName, root?: string): Promise<void> {
    processes.set(service, await startService(service, environments.get(service)!, root));
  }

  /** What has ended already stays known for what it said. */
  async function stop(service: ServiceName, signal: NodeJS.Signals): Promise<void> {
    await processes.get(service)?.stop(signal);
  }

  async function startOneMore(service: ServiceName): Promise<ServiceProcess & { readonly url: string }> {
    const port = String(await freePort());
    const started = await startService(service, { ...environments.get(service), TOLLGATE_HTTP_PORT: port });
    more.push(started);
    return { ...started, url: `http://127.0.0.1:${port}` };
  }

  async function startAll(): Promise<void> {
    await prepare();
    await startEach(["policy", "registry", "audit", "metering"]);
    await startEach(["runner", "gateway"]);
  }

  /** When one does not start, the others are known before that is said: they are to be stopped. */
  async function startEach(services: readonly ServiceName[]): Promise<void> {
    const starting = services.map((service) => start(service, options.root));
    await Promise.allSettled(starting);
    await Promise.all(starting);
  }

  async function stopAll(): Promise<void> {
    const results: PromiseSettledResult<void>[] = [];
    results.push(...(await Promise.allSettled(more.map((each) => each.stop("SIGTERM")))));
    for (const service of SERVICES.toReversed())
      results.push(...(await Promise.allSettled([stop(service, "SIGTERM")])));
    await rm(stateDir, { recursive: true, force: true });
    const failed = results.find((result) => result.status === "rejected");
    if (failed) throw failed.reason;
  }

  return {
    get gatewayUrl() {
      return httpUrls.gateway;
    },
    token,
    adminToken,
    httpUrls,
    get stateDir() {
      return stateDir;
    },
    tokenOf: (tenant) => `${token}_${tenant}`,
    pid: (service) => processes.get(service)!.pid,
    kill: (service) => stop(service, "SIGKILL"),
    start: (service) => start(service),
    async replace(service, root) {
      await stop(service, "SIGTERM");
      await start(service, root);
    },
    startRunner: () => startOneMore("runner"),
    startGateway: () => startOneMore("gateway"),
    output: (service) => processes.get(service)?.output() ?? "",
    configure,
    startAll,
    stopAll,
  };
}
