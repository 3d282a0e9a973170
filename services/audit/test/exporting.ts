import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Bus, connectBus } from "@tollgate/bus";
import { type AuditEvent, auditV1, type CallEvent } from "@tollgate/contracts";
import { callUnary, openGrpcClient, openLife, serviceMetadata } from "@tollgate/service";
import {
  callEvent,
  eventually,
  type Infrastructure,
  type ServiceProcess,
  startService,
  testLog,
} from "@tollgate/testkit";
import pg from "pg";
import { afterAll, afterEach, beforeAll, beforeEach, expect } from "vitest";
import { configSchema } from "../src/config.ts";
import { startAudit } from "../src/service.ts";
import { type HttpReceiver, openHttpReceiver, openSyslogReceiver, type SyslogReceiver } from "./receivers.ts";

export const SECRET = "collector-token-0123456789";
export const PATIENCE = { timeoutMs: 20_000 };

export interface RunningAudit {
  readonly client: auditV1.AuditServiceClient;
  readonly httpPort: number;
  exports(): Promise<auditV1.Export[]>;
  replays(): Promise<auditV1.Replay[]>;
}

/** An audit service that exports, and receivers, all of them gone after each test. */
export function useExporting(infra: Infrastructure) {
  const life = openLife(testLog);
  let folder: string;
  let bus: Bus;
  let admin: pg.Client;
  let closers: (() => Promise<unknown>)[] = [];

  const file = (): string => join(folder, "tollgate.yaml");
  const configure = (exports: readonly object[]): Promise<void> =>
    writeFile(file(), JSON.stringify({ audit: { exports } }));

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "tollgate-exports-"));
    const { natsUrl: url, busPrefix: prefix } = infra;
    bus = await connectBus({ url, name: "test", prefix, log: testLog, signal: life.signal });
    life.onClose("bus", 5_000, () => bus.drain());
    admin = new pg.Client({ connectionString: infra.adminUrl });
    await admin.connect();
    life.onClose("admin", 5_000, () => admin.end());
  });
  beforeEach(() => configure([]));
  afterEach(async () => {
    for (const close of closers.toReversed()) await close();
    closers = [];
  });
  afterAll(async () => {
    await life.close();
    await rm(folder, { recursive: true, force: true });
  });

  const settings = () => ({
    serviceKey: infra.serviceKey,
    natsUrl: infra.natsUrl,
    busPrefix: infra.busPrefix,
    databaseUrl: infra.databaseUrl("audit"),
    signingSecret: infra.signingSecret,
    configFile: file(),
    batchWaitMs: 20,
  });

  function clientOf(grpcPort: number): Omit<RunningAudit, "httpPort"> {
    const clientLife = openLife(testLog);
    closers.push(() => clientLife.close());
    const address = `127.0.0.1:${grpcPort}` as const;
    const client = openGrpcClient(auditV1.AuditServiceClient, { address, name: "audit", life: clientLife });
    const unary = unaryFor(infra.serviceKey);
    return {
      client,
      exports: async () => (await callUnary(client.listExports.bind(client), {}, unary)).exports,
      replays: async () => (await callUnary(client.listReplays.bind(client), {}, unary)).replays,
    };
  }

  return {
    get bus() {
      return bus;
    },
    get admin() {
      return admin;
    },
    get folder() {
      return folder;
    },
    configure,
    start: async (): Promise<RunningAudit> => {
      const config = configSchema.parse({ ...settings(), httpPort: 0, grpcPort: 0 });
      const service = await startAudit({ ...config, env: { COLLECTOR_TOKEN: SECRET } }, testLog);
      closers.push(() => service.close());
      return { ...clientOf(service.grpcPort), httpPort: service.httpPort };
    },
    /** One that can be killed. */
    startProcess: async (): Promise<ServiceProcess> => {
      const variables = Object.entries(settings()).map(([key, value]): [string, string] => [
        `TOLLGATE_${key.replaceAll(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase()}`,
        String(value),
      ]);
      const own = { TOLLGATE_HTTP_PORT: "0", TOLLGATE_GRPC_PORT: "0", TOLLGATE_LOG_LEVEL: "warn" };
      const process = await startService("audit", { ...Object.fromEntries(variables), ...own });
      closers.push(() => process.stop("SIGKILL"));
      return process;
    },
    syslogReceiver: async (...given: Parameters<typeof openSyslogReceiver>): Promise<SyslogReceiver> => {
      const receiver = await openSyslogReceiver(...given);
      closers.push(() => receiver.stop());
      return receiver;
    },
    httpReceiver: async (...given: Parameters<typeof openHttpReceiver>): Promise<HttpReceiver> => {
      const receiver = await openHttpReceiver(...given);
      closers.push(() => receiver.close());
      return receiver;
    },
    /** One message for each event, in order. */
    publish: async (count: number, fields: Partial<CallEvent> = {}): Promise<CallEvent[]> => {
      const events = Array.from({ length: count }, () => callEvent(fields));
      for (const event of events) await bus.js.publish(bus.subjects.audit(event.tenant, "call"), JSON.stringify(event));
      return events;
    },
    /** All in one message. */
    publishTogether: async (count: number): Promise<CallEvent[]> => {
      const events = Array.from({ length: count }, () => callEvent());
      const lines = events.map((event) => JSON.stringify(event));
      await bus.js.publish(bus.subjects.audit(events[0]!.tenant, "call"), lines.join("\n"));
      return events;
    },
    /** An export that is new begins where the stream is when it is first read. */
    followed: async (id: string): Promise<void> => {
      await eventually(async () => {
        const consumers = await bus.jsm.consumers.list(bus.subjects.streams.audit).next();
        expect(consumers.map(({ name }) => name.replace(/_\d+$/, ""))).toContain(`export-${id}`);
      }, PATIENCE);
    },
  };
}

export const unaryFor = (serviceKey: string) => ({
  metadata: serviceMetadata(serviceKey),
  timeoutMs: 10_000,
  service: "audit",
});

export const idsOf = (events: readonly AuditEvent[]): string[] => events.map(({ id }) => id);

/** The lines of all requests that were answered with 2xx. */
export const linesOf = (receiver: HttpReceiver): string[] =>
  receiver.requests.flatMap(({ body, status }) => (status >= 200 && status < 300 ? body.trimEnd().split("\n") : []));

/** The ids of those lines, each at its first place. */
export const receivedIds = (receiver: HttpReceiver): string[] =>
  unique(linesOf(receiver).map((line) => (JSON.parse(line) as { id: string }).id));

export const unique = (ids: readonly string[]): string[] => [...new Set(ids)];

/** Exports as the file has them; of calls, not of the changes of the exports themselves. */
export const httpExport = (receiver: HttpReceiver, more: object = {}) => ({
  id: "lake",
  type: "http",
  url: `http://127.0.0.1:${receiver.port}/in`,
  batch_wait: 0.05,
  kinds: ["call"],
  ...more,
});
export const syslogExport = (receiver: SyslogReceiver, more: object = {}) => ({
  id: "siem",
  type: "syslog",
  url: `tcp://127.0.0.1:${receiver.port}`,
  batch_wait: 0.05,
  kinds: ["call"],
  ...more,
});
