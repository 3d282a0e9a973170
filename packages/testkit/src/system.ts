import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort } from "@tollgate/embedded";
import { afterAll, beforeAll } from "vitest";
import type { Infrastructure } from "./infrastructure.ts";

const SERVICES = ["policy", "registry", "audit", "metering", "runner", "gateway"] as const;
export type ServiceName = (typeof SERVICES)[number];

const READY_TIMEOUT_MS = 30_000;
const STOP_TIMEOUT_MS = 15_000;
const OUTPUT_KEPT_MAX_CHARS = 20_000;
const ROOT = join(import.meta.dirname, "..", "..", "..");

export interface System {
  readonly gatewayUrl: string;
  readonly token: string;
  readonly adminToken: string;
  /** Where the services listen for health and metrics. */
  readonly httpUrls: Readonly<Record<ServiceName, string>>;
  readonly stateDir: string;
  pid(service: ServiceName): number;
  /** kill -9. */
  kill(service: ServiceName): Promise<void>;
  start(service: ServiceName): Promise<void>;
  /** What the service has written last. */
  output(service: ServiceName): string;
  /** Replaces tollgate.yaml. */
  configure(yaml: string): Promise<void>;
}

/**
 * The six services as six processes, as a user runs them, on this test file's own database and streams. `yaml` is
 * their tollgate.yaml without tokens: a caller's (`token`, permission mcp) and an administrator's are added.
 */
export function useSystem(
  infra: Infrastructure,
  options: { yaml: string; env?: Partial<Record<ServiceName, Record<string, string>>> },
): System {
  const processes = new Map<ServiceName, ChildProcess>();
  const outputs = new Map<ServiceName, string>();
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
    ];
    const head = `control_plane:\n  auth:\n    type: token\n    tokens:\n${tokens.join("\n")}\n`;
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
        TOLLGATE_NATS_URL: infra.natsUrl,
        TOLLGATE_BUS_PREFIX: infra.busPrefix,
        TOLLGATE_HTTP_PORT: String(port),
        TOLLGATE_CONFIG_FILE: join(stateDir, "tollgate.yaml"),
        TOLLGATE_STATE_DIR: join(stateDir, "runner"),
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

  async function start(service: ServiceName): Promise<void> {
    const child = spawn(process.execPath, [join(ROOT, "services", service, "src", "main.ts")], {
      env: environments.get(service),
      stdio: ["ignore", "pipe", "pipe", "ipc"],
    });
    processes.set(service, child);
    const keep = (chunk: Buffer) =>
      outputs.set(service, ((outputs.get(service) ?? "") + chunk).slice(-OUTPUT_KEPT_MAX_CHARS));
    child.stdout!.on("data", keep);
    child.stderr!.on("data", keep);
    const signal = AbortSignal.timeout(READY_TIMEOUT_MS);
    const ready = once(child, "message", { signal }).then(() => true);
    const ended = once(child, "exit", { signal }).then(() => false);
    ended.catch(() => undefined);
    if (!(await Promise.race([ready, ended]).catch(() => false)))
      throw new Error(`${service} did not become ready:\n${outputs.get(service) ?? ""}`);
  }

  async function stop(service: ServiceName, signal: NodeJS.Signals): Promise<void> {
    const child = processes.get(service);
    processes.delete(service);
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    child.kill(signal);
    await once(child, "exit", { signal: AbortSignal.timeout(STOP_TIMEOUT_MS) }).catch(() => {
      child.kill("SIGKILL");
      throw new Error(`${service} did not stop within ${STOP_TIMEOUT_MS} ms:\n${outputs.get(service) ?? ""}`);
    });
  }

  beforeAll(async () => {
    await prepare();
    await Promise.all((["policy", "registry", "audit", "metering"] as const).map(start));
    await Promise.all((["runner", "gateway"] as const).map(start));
  }, 90_000);

  afterAll(async () => {
    const results: PromiseSettledResult<void>[] = [];
    for (const service of SERVICES.toReversed())
      results.push(...(await Promise.allSettled([stop(service, "SIGTERM")])));
    await rm(stateDir, { recursive: true, force: true });
    const failed = results.find((result) => result.status === "rejected");
    if (failed) throw failed.reason;
  }, 90_000);

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
    pid: (service) => processes.get(service)!.pid!,
    kill: (service) => stop(service, "SIGKILL"),
    start,
    output: (service) => outputs.get(service) ?? "",
    configure,
  };
}
