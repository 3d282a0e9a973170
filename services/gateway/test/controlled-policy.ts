import { setTimeout as delay } from "node:timers/promises";
import { limitsV1, policyV1 } from "@tollgate/contracts";
import { AppError } from "@tollgate/errors";
import { type Life, startGrpcServer, unary } from "@tollgate/service";
import { testLog } from "@tollgate/testkit";
import { approvalMethods } from "./controlled-approvals.ts";

type Stream = Parameters<policyV1.PolicyServiceServer["watch"]>[0];

const LEASE_MS = 1_000;
const RENEW_INTERVAL_MS = 300;

/** Policy's side of its contract with gateways, in the test's hands. */
export interface ControlledPolicy {
  readonly address: string;
  readonly tokens: Map<string, policyV1.AuthenticateResponse["principal"] & object>;
  /** Unix milliseconds; 0 for tokens that do not expire. */
  expiresAtMs: number;
  leaseMs: number;
  /** False: nothing is sent on the stream any more. */
  renewing: boolean;
  /** How long an answer on the stream is held back. */
  renewDelayMs: number;
  /** What renewals echo instead of the request that they answer. */
  echo: bigint | undefined;
  /** Of what revision answers to Authenticate and Decide are, where not of the current one. */
  answersRevision: bigint | undefined;
  allow: (request: policyV1.DecideRequest, resource: policyV1.Resource) => boolean;
  /** The same of actions of administration. */
  administers: (request: policyV1.DecideRequest) => boolean;
  /** What else decisions say. */
  more: Partial<policyV1.Decision>;
  /** By id. */
  readonly approvals: Map<string, policyV1.Approval>;
  /** What a gateway gets of what it asks for. */
  grant: (lease: limitsV1.LimitLease) => Partial<limitsV1.LimitGrant>;
  /** What permits wait for. */
  beforeLease: (leases: readonly limitsV1.LimitLease[]) => Promise<unknown> | undefined;
  readonly leased: limitsV1.LimitLease[];
  /** What a decision waits for. */
  beforeDecide: () => Promise<unknown> | undefined;
  /** What was put, in order. */
  readonly put: policyV1.Policy[];
  readonly asked: { authenticate: number; decide: number };
  readonly authenticated: policyV1.AuthenticateRequest[];
  readonly decided: policyV1.DecideRequest[];
  /** Credentials that gateways have seen in use. */
  readonly used: policyV1.Used[];
  readonly endedSessions: string[];
  /** What each gateway said it has taken, in order. */
  readonly taken: bigint[];
  onTaken: (revision: bigint) => void;
  /** Sends a new revision on every stream. */
  change(): bigint;
  /** The same, and waits until every gateway has taken it, as a change of policy does. */
  changeTaken(): Promise<bigint>;
  /** Ends every stream, as a restart does. */
  cut(): void;
}

export function principal(fields: Partial<policyV1.Principal> = {}): policyV1.Principal {
  return policyV1.Principal.fromPartial({
    id: "dev",
    tenant: "acme",
    team: "platform",
    permissions: ["mcp"],
    ...fields,
  });
}

export async function startPolicy(options: {
  serviceKey: string;
  life: Life;
  port?: number;
}): Promise<ControlledPolicy> {
  const streams = new Map<Stream, bigint>();
  const takenBy = new Map<Stream, bigint>();
  let revision = 1n;

  const send = (stream: Stream) => {
    if (policy.renewing)
      stream.write({
        revision,
        leaseMs: policy.leaseMs,
        echo: policy.echo ?? streams.get(stream) ?? 0n,
        addressMatters: false,
        endedSessions: policy.endedSessions,
      });
  };
  const policy: ControlledPolicy = {
    address: "",
    tokens: new Map([["token", principal()]]),
    expiresAtMs: 0,
    leaseMs: LEASE_MS,
    renewing: true,
    renewDelayMs: 0,
    echo: undefined,
    answersRevision: undefined,
    allow: () => true,
    administers: (request) => request.principal!.permissions.includes("admin"),
    more: {},
    approvals: new Map(),
    beforeDecide: () => undefined,
    grant: ({ wanted }) => ({ granted: wanted, leaseMs: 60_000 }),
    beforeLease: () => undefined,
    leased: [],
    put: [],
    asked: { authenticate: 0, decide: 0 },
    authenticated: [],
    decided: [],
    used: [],
    endedSessions: [],
    taken: [],
    onTaken: () => undefined,
    change() {
      revision += 1n;
      for (const stream of streams.keys()) send(stream);
      return revision;
    },
    async changeTaken() {
      const wanted = policy.change();
      while ([...streams.keys()].some((stream) => (takenBy.get(stream) ?? 0n) < wanted)) await delay(1);
      return wanted;
    },
    cut() {
      for (const stream of streams.keys()) stream.end();
    },
  };
  const answered = () => policy.answersRevision ?? revision;

  const implementation: Partial<policyV1.PolicyServiceServer> = {
    authenticate: unary(testLog, (request: policyV1.AuthenticateRequest) => {
      policy.asked.authenticate += 1;
      policy.authenticated.push(request);
      const found = policy.tokens.get(request.token || (request.certificate?.commonName ?? ""));
      if (!found) throw new AppError("unauthenticated", "the token is not known");
      return { principal: found, revision: answered(), expiresAtMs: BigInt(policy.expiresAtMs) };
    }),
    decide: unary(testLog, async (request: policyV1.DecideRequest) => {
      policy.asked.decide += 1;
      policy.decided.push(request);
      await policy.beforeDecide();
      const decisions = request.resources.map((resource) => {
        const isAdmin = request.action.startsWith("admin/");
        const allow = isAdmin ? policy.administers(request) : policy.allow(request, resource);
        const reason = allow ? "allowed" : "denied by none";
        return policyV1.Decision.fromPartial({ allow, policyIds: [allow ? "all" : "none"], reason, ...policy.more });
      });
      return { decisions, revision: answered() };
    }),
    leaseLimits: unary(testLog, async ({ leases }: limitsV1.LeaseLimitsRequest) => {
      policy.leased.push(...leases);
      // As policy does: of the revision that was there when it was asked.
      const asked = answered();
      const grants = leases.map((lease) => limitsV1.LimitGrant.fromPartial(policy.grant(lease)));
      await policy.beforeLease(leases);
      return { grants, revision: asked };
    }),
    endSession: unary(testLog, async ({ session }: policyV1.EndSessionRequest) => {
      policy.endedSessions.unshift(session);
      return { revision: await policy.changeTaken() };
    }),
    putPolicy: unary(testLog, (request: policyV1.PutPolicyRequest) => {
      policy.put.push(request.policy!);
      return { policy: request.policy, revision };
    }),
    ...approvalMethods(policy.approvals),
    listPolicies: unary(testLog, () => ({ policies: policy.put, revision })),
    watch(stream) {
      streams.set(stream, 0n);
      for (const event of ["end", "cancelled", "error", "close"]) stream.on(event, () => streams.delete(stream));
      stream.on("data", (message: policyV1.WatchRequest) => {
        const first = streams.get(stream) === 0n;
        streams.set(stream, message.sequence);
        takenBy.set(stream, message.takenRevision);
        policy.taken.push(message.takenRevision);
        policy.used.push(...message.used);
        policy.onTaken(message.takenRevision);
        if (first) setTimeout(() => send(stream), policy.renewDelayMs);
      });
    },
  };
  const renewing = setInterval(() => {
    for (const stream of streams.keys()) setTimeout(() => send(stream), policy.renewDelayMs);
  }, RENEW_INTERVAL_MS);
  options.life.onClose("renewing", 100, () => clearInterval(renewing));
  const definition = policyV1.PolicyServiceService;
  const services = [{ definition, implementation: implementation as policyV1.PolicyServiceServer }];
  const { port } = await startGrpcServer({ host: "127.0.0.1", port: 0, ...options, services });
  return Object.assign(policy, { address: `127.0.0.1:${port}` });
}
