import { randomBytes, randomUUID } from "node:crypto";
import { readFile } from "node:fs/promises";
import {
  type Bus,
  connectBus,
  createCallPublisher,
  createEventPublisher,
  type EventPublisher,
  openSessions,
  publishToSession,
  subscribeReplies,
} from "@tollgate/bus";
import { auditV1, entriesV1, meteringV1, policyV1, registryV1, secretsV1, stateV1, toolsV1 } from "@tollgate/contracts";
import { createSealers } from "@tollgate/mcp";
import {
  answerAsPart,
  createMetrics,
  createOps,
  type Life,
  type Log,
  type Metrics,
  openGrpcClient,
  openLife,
  registerOps,
  type Service,
  serviceMetadata,
} from "@tollgate/service";
import { fastify, type FastifyInstance } from "fastify";
import { openPolicy, type Policy } from "./clients/policy.ts";
import { openRegistry } from "./clients/registry.ts";
import type { GatewayConfig } from "./config.ts";
import type { OwnLimits } from "./domain/plans.ts";
import { createAccessEvents } from "./handlers/access-events.ts";
import { type Admission, createAdmission } from "./handlers/admission.ts";
import { openAffinities } from "./handlers/affinities.ts";
import { registerApi } from "./handlers/api.ts";
import { answerBadUrl } from "./handlers/api-errors.ts";
import { createSecretEvents } from "./handlers/api-recordings.ts";
import { createAuthenticationFailures } from "./handlers/authentication-failures.ts";
import { type Callers, createCallers } from "./handlers/callers.ts";
import { registerApprovalPage } from "./handlers/approval-page.ts";
import { createApprovals } from "./handlers/approvals.ts";
import { createCalls } from "./handlers/calls.ts";
import { createChangeEvents } from "./handlers/change-events.ts";
import { type Channels, createChannels } from "./handlers/channels.ts";
import type { Session } from "./handlers/legacy-sessions.ts";
import { createEntry } from "./handlers/entry.ts";
import { createCallLimits } from "./handlers/limits.ts";
import { createLists } from "./handlers/lists.ts";
import { createMcp } from "./handlers/mcp.ts";
import { registerMcp } from "./handlers/mcp-http.ts";
import type { McpTransportOptions } from "./handlers/mcp-request.ts";
import { registerWebSocket } from "./handlers/mcp-websocket.ts";
import { registerOauthMetadata } from "./handlers/oauth-metadata.ts";
import { createRefusals, type Refuse } from "./handlers/refusals.ts";
import { createSessionStreams } from "./handlers/session-streams.ts";
import { followTls, readTls } from "./handlers/tls.ts";

const CALLS_WAITING_MAX = 10_000;
/** How long the stream may take to acknowledge a call before its client is told that its fate is not known. */
const CALL_PUBLISH_TIMEOUT_MS = 10_000;
const REFUSALS_WAITING_MAX = 1_000;
const REFUSAL_PUBLISH_TIMEOUT_MS = 30_000;

const RECEIVE_CHECK_MAX_MS = 5_000;
/** A connection on which nothing moves for this much longer than a call may wait and take is closed. */
const SILENCE_GRACE_MS = 4_500;

export interface RunningGateway extends Service {
  readonly httpPort: number;
}

export async function startGateway(config: GatewayConfig, log: Log): Promise<RunningGateway> {
  const life = openLife(log);
  try {
    return await compose(config, log, life);
  } catch (error) {
    await life.close();
    throw error;
  }
}

async function compose(config: GatewayConfig, log: Log, life: Life): Promise<RunningGateway> {
  const gateway = `g-${randomBytes(5).toString("hex")}`;
  const metrics = createMetrics();
  const ops = createOps(metrics, life);
  const bus = await openBus(config, { gateway, life, log });
  ops.checks.set("nats", () => bus.problem());
  answerAsPart({ name: "gateway", bus, ops });

  const metadata = serviceMetadata(config.serviceKey);
  const clients = openClients(config, life);
  const follow = { metadata, gateway, signal: life.signal, log };
  const policy = openPolicy({ client: clients.policy, ...follow });
  const registry = openRegistry({ client: clients.registry, ownLimits: ownLimitsOf(config), ...follow });
  ops.checks.set("policy", () => policy.problem());
  ops.checks.set("registry", () => registry.problem());

  const events = createEventPublisher(bus, { waitingMax: REFUSALS_WAITING_MAX, timeoutMs: REFUSAL_PUBLISH_TIMEOUT_MS });
  const refuse = createRefusals({ events, log });
  const planOf = (tenant: string) => registry.planOf(tenant);
  const admission = createAdmission({ max: config.callsMax, planOf, waitMs: config.admissionWaitMs, refuse });
  const limited = { policy, client: clients.policy, metadata, gateway, life, log };
  const entry = createEntry({ admission, limits: createCallLimits(limited), refuse });
  const calls = createCalls({
    gateway,
    bus,
    publisher: createCallPublisher(bus, { waitingMax: CALLS_WAITING_MAX, timeoutMs: CALL_PUBLISH_TIMEOUT_MS }),
    refuse,
    planOf,
    entry,
    requestTimeoutMs: config.requestTimeoutMs,
    onEnded: observeCalls(metrics, admission),
    life,
    log,
  });
  subscribeReplies(bus, gateway, (reply) => calls.onReply(reply));
  const lists = createLists({ policy, registry });
  const channels = createChannels({ bus, policy, registry, lists, life, log });
  const streams = createSessionStreams({ bus, channels, sessions: () => sessions, log });
  const sessions = await openSessions<Session>(bus, life.signal, (id) => streams.onSessionChange(id));
  const affinities = await openAffinities({ bus, signal: life.signal, log });
  const newSessionId = () => randomBytes(18).toString("base64url");
  const sealers = createSealers(config.serviceKey);
  const toSession = sessionTeller(bus, log);
  const asking = { bus, client: clients.policy, metadata, events, refuse, sealers, log };
  const approvals = createApprovals({ ...asking, publicUrl: publicUrlOf(config), toSession, stopping: life.signal });
  const around = { bus, policy, registry, sessions, entry, calls, lists, channels, sealers, refuse, log };
  const mcp = createMcp({ ...around, affinities, approvals, newSessionId });

  const app = await openHttp(config, life, log);
  app.decorateRequest("caller", null);
  registerOps(app, ops);
  const callers = callersOf(config, { policy, refuse, events, signal: life.signal, log });
  const transport = { ...around, callers, mcp, streams, newSessionId, toSession, stopping: life.signal };
  await registerTransports(app, transport, config);
  await registerApprovalPage(app);
  const access = createAccessEvents({ events, life, log });
  const recorded = { access, recordChange: createChangeEvents(events), recordSecret: createSecretEvents(events) };
  const administered = { policy, registry, lists, sessions, approvals, ...recorded };
  const { serviceKey, allowedOrigins } = config;
  const served = { bus, callers, refuse, clients, metadata, serviceKey, allowedOrigins, stopping: life.signal, log };
  await registerApi(app, { ...administered, ...served });
  await app.listen({ host: config.host, port: config.httpPort });
  // Takes no new connections, answers what is under way, then ends.
  life.onClose("http", 4_000, () => app.close());

  const httpPort = (app.server.address() as { port: number }).port;
  log.info({ gateway, httpPort }, "listening");
  if (config.welcomeFile !== "") process.stdout.write(await readFile(config.welcomeFile, "utf8"));
  return { httpPort, close: () => life.close() };
}

async function openBus(
  { natsUrl: url, busPrefix: prefix }: GatewayConfig,
  { gateway: name, life, log }: { gateway: string; life: Life; log: Log },
): Promise<Bus> {
  const bus = await connectBus({ url, name, prefix, log, signal: life.signal });
  life.onClose("nats", 5_000, () => bus.drain());
  return bus;
}

type Transport = Omit<McpTransportOptions, "resource" | "allowedOrigins" | "bodyMaxBytes"> & { channels: Channels };

/** Every way in for MCP. */
async function registerTransports(app: FastifyInstance, transport: Transport, config: GatewayConfig): Promise<void> {
  const { allowedOrigins, bodyMaxBytes, authorizationServers, scopes } = config;
  const publicUrl = publicUrlOf(config);
  const resource = { publicUrl, authorizationServers, scopes };
  const options = { ...transport, resource, allowedOrigins, bodyMaxBytes };
  await registerMcp(app, options);
  // Before the connections of WebSocket are closed: listeners get a final answer.
  app.addHook("preClose", (done) => (transport.channels.close(), transport.streams.close(), done()));
  registerWebSocket(app, options);
  registerOauthMetadata(app, resource);
}

function callersOf(
  { trustedProxies, tlsClientCertificates }: GatewayConfig,
  around: { policy: Policy; refuse: Refuse; events: EventPublisher; signal: AbortSignal; log: Log },
): Callers {
  const failures = createAuthenticationFailures(around);
  const certificateRequired = tlsClientCertificates === "required";
  return createCallers({ policy: around.policy, failures, trustedProxies, certificateRequired });
}

/** A tool's name with all of it escaped: 128 characters of three bytes each. */
const PARAM_MAX_CHARS = 1_152;

/** A client that is slow to send is cut off, as is one that does not read its answer. */
async function openHttp(config: GatewayConfig, life: Life, log: Log): Promise<FastifyInstance> {
  const { bodyMaxBytes, receiveTimeoutMs, admissionWaitMs, requestTimeoutMs } = config;
  const tls = await readTls(config);
  const http = { connectionsCheckingInterval: Math.min(receiveTimeoutMs, RECEIVE_CHECK_MAX_MS) };
  const options = {
    logger: false,
    bodyLimit: bodyMaxBytes,
    routerOptions: { maxParamLength: PARAM_MAX_CHARS },
    frameworkErrors: answerBadUrl,
    requestTimeout: receiveTimeoutMs,
    connectionTimeout: admissionWaitMs + requestTimeoutMs + SILENCE_GRACE_MS,
    forceCloseConnections: "idle",
    return503OnClosing: false,
  } as const;
  if (tls === undefined) return bounded(fastify({ ...options, http }), config);
  const secure = fastify({ ...options, https: { ...http, ...tls, handshakeTimeout: receiveTimeoutMs } });
  followTls(secure.server, config, { tls, life, log });
  return bounded(secure, config);
}

function bounded(app: FastifyInstance, { receiveTimeoutMs, connectionsMax }: GatewayConfig): FastifyInstance {
  // Node swaps the two when the head may take longer than the whole.
  app.server.headersTimeout = receiveTimeoutMs;
  app.server.maxConnections = connectionsMax;
  return app;
}

function openClients({ policyAddress, registryAddress, auditAddress, meteringAddress }: GatewayConfig, life: Life) {
  const { PolicyServiceClient } = policyV1;
  const { RegistryServiceClient } = registryV1;
  const { StateServiceClient } = stateV1;
  const { AuditServiceClient } = auditV1;
  const { MeteringServiceClient } = meteringV1;
  return {
    policy: openGrpcClient(PolicyServiceClient, { address: policyAddress, name: "policy", life }),
    registry: openGrpcClient(RegistryServiceClient, { address: registryAddress, name: "registry", life }),
    tools: openGrpcClient(toolsV1.ToolServiceClient, { address: registryAddress, name: "registry", life }),
    secrets: openGrpcClient(secretsV1.SecretServiceClient, { address: registryAddress, name: "registry", life }),
    entries: openGrpcClient(entriesV1.EntryServiceClient, { address: registryAddress, name: "registry", life }),
    states: {
      registry: openGrpcClient(StateServiceClient, { address: registryAddress, name: "registry", life }),
      policy: openGrpcClient(StateServiceClient, { address: policyAddress, name: "policy", life }),
      metering: openGrpcClient(StateServiceClient, { address: meteringAddress, name: "metering", life }),
    },
    audit: openGrpcClient(AuditServiceClient, { address: auditAddress, name: "audit", life }),
    metering: openGrpcClient(MeteringServiceClient, { address: meteringAddress, name: "metering", life }),
  };
}

function ownLimitsOf({ callsPerTenantMax, callsWaitingPerTenantMax }: GatewayConfig): OwnLimits {
  return { max: callsPerTenantMax, waiting: callsWaitingPerTenantMax };
}

function observeCalls(metrics: Metrics, admission: Admission) {
  const total = metrics.counter("tollgate_gateway_calls_total", "Calls taken in that have ended.", [
    "server",
    "result",
  ]);
  const seconds = metrics.histogram("tollgate_gateway_call_seconds", "From taking a call in to its answer.", [
    "server",
  ]);
  metrics.gauge("tollgate_gateway_calls_under_way", "Calls taken in and not answered yet.", [], (gauge) =>
    gauge.set(admission.underWay),
  );
  metrics.gauge("tollgate_gateway_calls_waiting", "Calls that wait to be taken in.", [], (gauge) =>
    gauge.set(admission.waiting),
  );
  return ({ server }: { server: string }, result: string, ms: number): void => {
    total.inc({ server, result });
    seconds.observe({ server }, ms / 1000);
  };
}

/** Under which clients reach this gateway. */
function publicUrlOf(config: GatewayConfig): string {
  const scheme = config.tlsCertFile === "" ? "http" : "https";
  return config.publicUrl || `${scheme}://${config.host}:${config.httpPort}`;
}

/** Says something to a session, wherever its stream is open. */
function sessionTeller(bus: Bus, log: Log): (session: string, frame: string) => void {
  return (session, frame) => {
    publishToSession(bus, session, randomUUID(), frame).catch((error: unknown) =>
      log.error({ err: error, session }, "a session could not be told"),
    );
  };
}
