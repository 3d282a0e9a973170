import { entriesV1, parseAuditEvent, type RefusalEvent, registryV1 } from "@tollgate/contracts";
import { type Life, startGrpcServer, unary } from "@tollgate/service";
import { type Infrastructure, testLog } from "@tollgate/testkit";
import { configSchema } from "../src/config.ts";
import { type RunningGateway, startGateway } from "../src/service.ts";
import type { AnsweringRunner } from "./answering-runner.ts";
import { type ControlledPolicy, principal, startPolicy } from "./controlled-policy.ts";
import { registryServer, registryTool, snapshotOf } from "./sample-catalogue.ts";

/** What gateways need around them: policy, and a registry that knows two groups. */
export interface Surroundings {
  readonly policy: ControlledPolicy;
  /** The registry's answer to a restart that was asked for. */
  onRestart: (request: registryV1.RestartServerRequest) => registryV1.RestartServerResponse;
  /** How far the catalogue has come, by the registry's answer to a change of an entry. */
  revisionOfChange: () => bigint;
  /** A new snapshot of the registry, to every gateway: those are others that are not the same objects as before. */
  setServers(servers: readonly registryV1.Server[]): void;
  /** Likewise, with other tool sets. */
  setToolSets(sets: readonly Partial<registryV1.ToolSet>[]): void;
  /** Likewise, with other plans. */
  setTenants(tenants: readonly registryV1.Tenant[]): void;
  startGateway(
    settings?: Partial<Record<keyof ReturnType<typeof configSchema.parse>, number | string>>,
  ): Promise<RunningGateway>;
}

const TOOLS = [registryTool("echo"), registryTool("safe", { retrySafe: true })];
const SERVERS = [
  registryServer({ id: "one", tools: TOOLS }),
  registryServer({ id: "lonely", group: "nobody", tools: TOOLS }),
];
const GROUPS = ["demo", "nobody", "plain"];

type CatalogueStream = Parameters<registryV1.RegistryServiceServer["watchCatalogue"]>[0];

export async function startSurroundings(infra: Infrastructure, life: Life): Promise<Surroundings> {
  const { serviceKey } = infra;
  const policy = await startPolicy({ serviceKey, life });
  policy.tokens.set("rival-token", principal({ id: "rival", tenant: "rival" }));
  policy.tokens.set("useless-token", principal({ id: "useless", permissions: [] }));
  const watching = new Set<CatalogueStream>();
  let snapshot = snapshotOf(SERVERS, GROUPS);
  const implementation: Partial<registryV1.RegistryServiceServer> = {
    watchCatalogue(stream) {
      watching.add(stream);
      for (const event of ["end", "cancelled", "error", "close"]) stream.on(event, () => watching.delete(stream));
      stream.write(snapshot);
    },
    restartServer: unary(testLog, (request: registryV1.RestartServerRequest) => surroundings.onRestart(request)),
  };
  const entries: Partial<entriesV1.EntryServiceServer> = {
    putEntry: unary(testLog, ({ kind, id, entry }: entriesV1.PutEntryRequest) => ({
      entry: entriesV1.Entry.fromPartial({ kind, id, entry, source: "api", drift: "added", version: 1n }),
      created: true,
      revision: surroundings.revisionOfChange(),
      warnings: [],
    })),
    deleteEntry: unary(testLog, () => ({ revision: surroundings.revisionOfChange() })),
  };
  const services = [
    {
      definition: registryV1.RegistryServiceService,
      implementation: implementation as registryV1.RegistryServiceServer,
    },
    { definition: entriesV1.EntryServiceService, implementation: entries as entriesV1.EntryServiceServer },
  ];
  const registry = await startGrpcServer({ host: "127.0.0.1", port: 0, serviceKey, services, life });
  const announce = (change: Partial<registryV1.WatchCatalogueResponse>) => {
    const before = new Set(snapshot.servers);
    snapshot = { ...snapshot, ...change, revision: snapshot.revision + 1n };
    const servers = snapshot.servers.filter((server) => !before.has(server));
    const delta = { ...snapshot, servers, delta: true, serverIds: snapshot.servers.map(({ id }) => id) };
    for (const stream of watching) stream.write(stream.request.deltas ? delta : snapshot);
  };
  const surroundings: Surroundings = {
    policy,
    onRestart: () => ({ generation: 1n, revision: snapshot.revision }),
    revisionOfChange: () => snapshot.revision,
    setServers: (servers) => announce({ servers: [...servers] }),
    setToolSets: (sets) => announce({ toolSets: sets.map((each) => registryV1.ToolSet.fromPartial(each)) }),
    setTenants: (tenants) => announce({ tenants: [...tenants] }),
    async startGateway(settings = {}) {
      const config = configSchema.parse({
        serviceKey,
        httpPort: 0,
        natsUrl: infra.natsUrl,
        busPrefix: infra.busPrefix,
        policyAddress: policy.address,
        registryAddress: `127.0.0.1:${registry.port}`,
        ...settings,
      });
      const gateway = await startGateway(config, testLog);
      life.onClose("gateway", 20_000, () => gateway.close());
      return gateway;
    },
  };
  return surroundings;
}

/** The refusals on AUDIT. */
export async function refusalsOn({ bus }: AnsweringRunner): Promise<RefusalEvent[]> {
  const { audit } = bus.subjects.streams;
  if ((await bus.jsm.streams.info(audit)).state.messages === 0) return [];
  const found: RefusalEvent[] = [];
  const consumer = await bus.js.consumers.get(audit);
  for await (const message of await consumer.fetch({ max_messages: 5_000, expires: 1_000 })) {
    for (const line of message.string().split("\n")) {
      const parsed = parseAuditEvent(line);
      if (parsed.ok && parsed.value.kind === "refusal") found.push(parsed.value);
    }
    if (message.info.pending === 0) break;
  }
  return found;
}
