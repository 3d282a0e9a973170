import { createHash } from "node:crypto";
import type { ClientDuplexStream, Metadata } from "@grpc/grpc-js";
import type { Decision, policyV1 } from "@tollgate/contracts";
import { AppError } from "@tollgate/errors";
import { callUnary, followStream, type Log } from "@tollgate/service";
import type { Tool } from "../domain/catalogue.ts";

const TIMEOUT_MS = 2_000;
/** A decision is asked for again when the policies changed while it was on its way. */
const ATTEMPTS_MAX = 3;
const DECIDE_MAX = 2_000;
const TOKENS_CACHED_MAX = 20_000;
const DECISIONS_CACHED_MAX = 200_000;

export type Principal = policyV1.Principal;

/**
 * What policy has said, remembered for as long as policy is heard from (invariant 2). The lease counts from the moment
 * at which this gateway asked for it, so that a message that was long on its way cannot prolong it. Every new revision
 * drops everything that was remembered before it is acknowledged.
 */
export interface Policy {
  /** @throws {AppError} `unauthenticated`; `unavailable` without a lease */
  authenticate(token: string): Principal | Promise<Principal>;
  /** In the order of `tools`. @throws {AppError} `unavailable` without a lease */
  decide(principal: Principal, tools: readonly Tool[]): Decision[] | Promise<Decision[]>;
  readonly revision: number;
  problem(): string | undefined;
}

type WatchStream = ClientDuplexStream<policyV1.WatchRequest, policyV1.WatchResponse>;

export function openPolicy(options: {
  client: policyV1.PolicyServiceClient;
  metadata: Metadata;
  gateway: string;
  signal: AbortSignal;
  log: Log;
}): Policy {
  const { client, metadata, gateway, signal, log } = options;
  const unary = { metadata, timeoutMs: TIMEOUT_MS, service: "policy" };
  let revision = -1n;
  let leaseEndsAt = 0;
  let sequence = 0n;
  let askedAt: { sequence: bigint; at: number }[] = [];
  const principals = new Map<string, { principal: Principal; expiresAtMs: number }>();
  const decisions = new Map<string, Decision>();

  followStream<policyV1.WatchResponse, WatchStream>({
    name: "policy lease",
    open: () => {
      askedAt = [];
      const stream = client.watch(metadata);
      ask(stream, 0n);
      return stream;
    },
    onMessage: (message, stream) => {
      if (message.revision !== revision) {
        revision = message.revision;
        principals.clear();
        decisions.clear();
      }
      const asked = askedAt.find((each) => each.sequence === message.echo);
      askedAt = askedAt.filter((each) => each.sequence > message.echo);
      if (asked) leaseEndsAt = asked.at + message.leaseMs;
      // Calls that were let in just now still have to reach the stream; then the new revision holds here.
      setImmediate(() => ask(stream, message.revision));
    },
    signal,
    log,
  });

  function ask(stream: WatchStream, takenRevision: bigint): void {
    if (!stream.writable) return;
    sequence += 1n;
    askedAt.push({ sequence, at: performance.now() });
    stream.write({ gateway, takenRevision, sequence });
  }

  function leased(): boolean {
    return performance.now() < leaseEndsAt;
  }

  /** Asks until the answer is of the revision that this gateway has taken; without a lease there is no such answer. */
  async function current<A extends { revision: bigint }>(call: () => Promise<A>): Promise<A> {
    for (let attempt = 1; attempt <= ATTEMPTS_MAX; attempt++) {
      const answer = await call();
      if (leased() && answer.revision === revision) return answer;
      if (!leased()) break;
      // The answer is ahead of the lease's stream: the stream's message is a moment behind.
      await new Promise((resolve) => setTimeout(resolve, 5 * attempt));
    }
    throw new AppError("unavailable", "policy is not heard from; nothing is let in until it is", { retryable: true });
  }

  async function askPrincipal(token: string, key: string): Promise<Principal> {
    const answer = await current(() => callUnary(client.authenticate.bind(client), { token }, unary));
    const principal = answer.principal!;
    if (principals.size >= TOKENS_CACHED_MAX) principals.clear();
    principals.set(key, { principal, expiresAtMs: Number(answer.expiresAtMs) });
    return principal;
  }

  async function askDecisions(principal: Principal, tools: readonly Tool[]): Promise<Decision[]> {
    const answers: Decision[] = [];
    for (let from = 0; from < tools.length; from += DECIDE_MAX) {
      const asked = tools.slice(from, from + DECIDE_MAX);
      const resources = asked.map(({ group, server, name }) => ({ group, server, tool: name }));
      const request = { principal, action: "tools/call", resources };
      const answer = await current(() => callUnary(client.decide.bind(client), request, unary));
      if (answer.decisions.length !== asked.length)
        throw new AppError("internal", "policy answered another number of decisions");
      for (const [i, { allow, policyIds, reason }] of answer.decisions.entries()) {
        const decision = { allow, policies: policyIds, revision: Number(answer.revision), reason };
        answers.push(decision);
        if (decisions.size >= DECISIONS_CACHED_MAX) decisions.clear();
        decisions.set(decisionKey(principal, asked[i]!), decision);
      }
    }
    return answers;
  }

  return {
    authenticate(token) {
      const key = createHash("sha256").update(token).digest("base64");
      const known = leased() ? principals.get(key) : undefined;
      if (known && (known.expiresAtMs === 0 || Date.now() < known.expiresAtMs)) return known.principal;
      return askPrincipal(token, key);
    },
    decide(principal, tools) {
      if (!leased()) return askDecisions(principal, tools);
      const known: Decision[] = [];
      for (const tool of tools) {
        const decision = decisions.get(decisionKey(principal, tool));
        if (!decision) return askDecisions(principal, tools);
        known.push(decision);
      }
      return known;
    },
    get revision() {
      return Number(revision);
    },
    problem: () => (leased() ? undefined : "policy is not heard from"),
  };
}

function decisionKey(principal: Principal, tool: Tool): string {
  return `${principal.tenant}\n${principal.id}\n${tool.server}\n${tool.name}`;
}
