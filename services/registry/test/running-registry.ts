import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ClientReadableStream } from "@grpc/grpc-js";
import { entriesV1, registryV1, secretsV1, stateV1 } from "@tollgate/contracts";
import { parseKeyList } from "@tollgate/evidence";
import { callUnary, type Log, openGrpcClient, openLife, serviceMetadata } from "@tollgate/service";
import { eventually, type Infrastructure, testLog } from "@tollgate/testkit";
import { expect } from "vitest";
import type { RegistryConfig } from "../src/config.ts";
import { startRegistry } from "../src/service.ts";

export const SECRET = "correct-horse-battery-staple";
export const ENV = { NOTES_TOKEN: SECRET };

export const TWO_GROUPS = `
groups:
  - { id: demo, name: Demo }
  - { id: office }
mcp_servers:
  - { id: echo, group: demo, type: command, command: echo-server, args: [--verbose] }
  - id: notes
    name: Notes
    group: office
    type: npx
    command: "@example/notes@1.2.3"
    args: ["--token=\${NOTES_TOKEN}"]
    env: { NOTES_TOKEN: "\${NOTES_TOKEN}", MODE: test }
    startup_timeout: 5
  - { id: spare, group: demo, type: command, command: spare-server, enabled: false }
`;

export const REMOTE = `
  - id: tickets
    group: office
    type: remote
    url: https://tickets.example/mcp?key=\${NOTES_TOKEN}
    headers: { Authorization: "Bearer \${NOTES_TOKEN}" }
    client_capabilities: [elicitation]
    session_context: true
`;

export type Catalogue = registryV1.WatchCatalogueResponse;
export type Work = registryV1.WatchAssignmentsResponse;

/** What a watch has received so far. */
export interface Watched<T> {
  readonly stream: ClientReadableStream<T>;
  readonly received: T[];
  /** Waits for a last message that is as told. */
  until(check: (last: T) => void): Promise<T>;
}

export interface RunningRegistry {
  readonly file: string;
  readonly httpPort: number;
  readonly grpcPort: number;
  readonly client: registryV1.RegistryServiceClient;
  writeFile(text: string): Promise<void>;
  watchCatalogue(deltas?: boolean): Watched<Catalogue>;
  watchAssignments(groups?: string[]): Watched<Work>;
  report(parts: Partial<registryV1.ReportServerRequest>): Promise<bigint>;
  /** Reports with the hash that its own watch of assignments tells. */
  reportTools(serverId: string, tools: readonly string[]): Promise<bigint>;
  restart(serverId: string): Promise<registryV1.RestartServerResponse>;
  listEntries(kind?: string, id?: string): Promise<entriesV1.Entry[]>;
  put(
    kind: string,
    id: string,
    entry: object,
    more?: Partial<entriesV1.PutEntryRequest>,
  ): Promise<entriesV1.PutEntryResponse>;
  remove(
    kind: string,
    id: string,
    more?: Partial<entriesV1.DeleteEntryRequest>,
  ): Promise<entriesV1.DeleteEntryResponse>;
  reconcile(document: string, more?: Partial<stateV1.ReconcileRequest>): Promise<stateV1.ReconcileResponse>;
  drift(): Promise<stateV1.Drift[]>;
  readonly secrets: RunningSecrets;
  close(): Promise<void>;
}

export interface RunningSecrets {
  list(): Promise<secretsV1.ListSecretsResponse>;
  one(name: string): Promise<secretsV1.Secret | undefined>;
  put(name: string, value: string, more?: Partial<secretsV1.PutSecretRequest>): Promise<secretsV1.PutSecretResponse>;
  remove(name: string, ifVersion?: number): Promise<unknown>;
  rotate(): Promise<secretsV1.RotateKeysResponse>;
}

export async function runRegistry(
  infra: Infrastructure,
  options: { text?: string; file?: string; env?: RegistryConfig["env"]; secretKeys?: string; log?: Log } = {},
): Promise<RunningRegistry> {
  const directory = await mkdtemp(join(tmpdir(), "tollgate-registry-"));
  const file = options.file ?? join(directory, "tollgate.yaml");
  if (options.file === undefined) await writeFile(file, options.text ?? TWO_GROUPS);
  const keys = parseKeyList(options.secretKeys ?? infra.secretKeys);
  const config: RegistryConfig = {
    logLevel: "silent",
    serviceKey: infra.serviceKey,
    host: "127.0.0.1",
    httpPort: 0,
    grpcPort: 0,
    databaseUrl: infra.databaseUrl("registry"),
    natsUrl: infra.natsUrl,
    busPrefix: infra.busPrefix,
    configFile: file,
    secretKeys: keys.ok ? keys.value : undefined,
    env: options.env ?? ENV,
  };
  const service = await startRegistry(config, options.log ?? testLog);
  const connection = connect(service.grpcPort, infra.serviceKey);
  return {
    ...connection,
    file,
    httpPort: service.httpPort,
    grpcPort: service.grpcPort,
    writeFile: (text) => writeFile(file, text),
    async close() {
      await connection.close();
      await service.close();
      await rm(directory, { recursive: true });
    },
  };
}

const BY_API = { actor: "token:admin", address: "192.0.2.7" };

type Connection = Omit<RunningRegistry, "file" | "httpPort" | "grpcPort" | "writeFile">;

export function connect(grpcPort: number, serviceKey: string): Connection {
  const life = openLife(testLog);
  const metadata = serviceMetadata(serviceKey);
  const address = `127.0.0.1:${grpcPort}`;
  const client = openGrpcClient(registryV1.RegistryServiceClient, { address, name: "registry", life });
  const entries = openGrpcClient(entriesV1.EntryServiceClient, { address, name: "registry", life });
  const state = openGrpcClient(stateV1.StateServiceClient, { address, name: "registry", life });
  const unary = { metadata, timeoutMs: 10_000, service: "registry" };
  let work: Watched<Work> | undefined;

  const connection: Connection = {
    client,
    watchCatalogue: (deltas = false) => follow(client.watchCatalogue({ watcher: "test", deltas }, metadata)),
    watchAssignments: (groups = []) => follow(client.watchAssignments({ runner: "test", groups }, metadata)),
    async report(parts) {
      const request = registryV1.ReportServerRequest.fromPartial({ runner: "test", era: "legacy", ...parts });
      return (await callUnary(client.reportServer.bind(client), request, unary)).revision;
    },
    async reportTools(serverId, tools) {
      work ??= connection.watchAssignments();
      const last = await work.until((each) => hashOf(each, serverId));
      const toolDefinitions = tools.map((name) => JSON.stringify({ name, inputSchema: { type: "object" } }));
      return connection.report({ serverId, specHash: hashOf(last, serverId), status: "ready", toolDefinitions });
    },
    restart: (serverId) =>
      callUnary(client.restartServer.bind(client), { serverId, actor: "tester", address: "192.0.2.7" }, unary),
    listEntries: async (kind = "", id = "") =>
      (await callUnary(entries.listEntries.bind(entries), { kind, id }, unary)).entries,
    put: (kind, id, entry, more = {}) =>
      callUnary(
        entries.putEntry.bind(entries),
        { ...BY_API, kind, id, entry: JSON.stringify({ id, ...entry }), ifVersion: 0n, createOnly: false, ...more },
        unary,
      ),
    remove: (kind, id, more = {}) =>
      callUnary(entries.deleteEntry.bind(entries), { ...BY_API, kind, id, ifVersion: 0n, ...more }, unary),
    reconcile: (document, more = {}) =>
      callUnary(
        state.reconcile.bind(state),
        { ...BY_API, document, name: "document.yaml", dryRun: false, prune: false, ...more },
        unary,
      ),
    drift: async () => (await callUnary(state.getDrift.bind(state), {}, unary)).items,
    secrets: secretsOf(openGrpcClient(secretsV1.SecretServiceClient, { address, name: "registry", life }), unary),
    async close() {
      await life.close();
    },
  };
  return connection;
}

function secretsOf(client: secretsV1.SecretServiceClient, unary: Parameters<typeof callUnary>[2]): RunningSecrets {
  const list = () => callUnary(client.listSecrets.bind(client), {}, unary);
  const none = { description: "", servers: [], keepServers: false, ifVersion: 0, createOnly: false };
  return {
    list,
    one: async (name) => (await list()).secrets.find((each) => each.name === name),
    put: (name, value, more = {}) =>
      callUnary(client.putSecret.bind(client), { ...BY_API, ...none, name, value, ...more }, unary),
    remove: (name, ifVersion = 0) => callUnary(client.deleteSecret.bind(client), { ...BY_API, name, ifVersion }, unary),
    rotate: () => callUnary(client.rotateKeys.bind(client), BY_API, unary),
  };
}

function follow<T>(stream: ClientReadableStream<T>): Watched<T> {
  const received: T[] = [];
  stream.on("data", (message: T) => received.push(message));
  stream.on("error", () => undefined);
  return {
    stream,
    received,
    until: (check) =>
      eventually(() => {
        const last = received.at(-1);
        if (last === undefined) throw new Error("nothing received yet");
        check(last);
        return last;
      }),
  };
}

export function hashOf(work: Work, serverId: string): string {
  return assignmentIn(work, serverId).specHash;
}

export function assignmentIn(work: Work, serverId: string): registryV1.Assignment {
  const assignment = work.assignments.find((each) => each.serverId === serverId);
  if (!assignment) throw new Error(`no assignment for ${serverId}`);
  return assignment;
}

export function serverIn(catalogue: Catalogue, id: string): registryV1.Server {
  const server = catalogue.servers.find((each) => each.id === id);
  expect(server, `server ${id}`).toBeDefined();
  return server!;
}

export function toolNames(catalogue: Catalogue, id: string): string[] {
  return serverIn(catalogue, id).tools.map(({ name }) => name);
}
