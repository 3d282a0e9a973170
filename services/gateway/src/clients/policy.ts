import { createHash } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import type { Metadata } from "@grpc/grpc-js";
import type { Decision, policyV1 } from "@tollgate/contracts";
import { AppError } from "@tollgate/errors";
import { callUnary, type Log } from "@tollgate/service";
import type { Action } from "../domain/lists.ts";
import type { Subject } from "../domain/targets.ts";
import { type Lease, openLease } from "./lease.ts";

const TIMEOUT_MS = 2_000;
/** How long a request waits for a lost lease to come back. */
const LEASE_WAIT_MS = 1_000;
const LEASE_LOOK_MS = 20;
/** A decision is asked for again when the policies changed while it was on its way. */
const ATTEMPTS_MAX = 3;
const ATTEMPT_PAUSE_MS = 5;
const DECIDE_MAX = 2_000;
const TOKENS_CACHED_MAX = 20_000;
const DECISIONS_CACHED_MAX = 200_000;

export type Principal = policyV1.Principal;

/** What policy has said, remembered for as long as policy is heard from: until the lease ends or the revision changes. */
export interface Policy {
  /** @throws {AppError} `unauthenticated`; `unavailable` without a lease */
  authenticate(token: string): Principal | Promise<Principal>;
  /** In the order of `subjects`. @throws {AppError} `unavailable` without a lease */
  decide(principal: Principal, action: Action, subjects: readonly Subject[]): Decision[] | Promise<Decision[]>;
  readonly revision: number;
  problem(): string | undefined;
}

export function openPolicy(options: {
  client: policyV1.PolicyServiceClient;
  metadata: Metadata;
  gateway: string;
  signal: AbortSignal;
  log: Log;
}): Policy {
  const { client, metadata } = options;
  const unary = { metadata, timeoutMs: TIMEOUT_MS, service: "policy" };
  const principals = new Map<string, { principal: Principal; expiresAtMs: number }>();
  const decisions = new Map<string, Decision>();
  const onRevision = () => (principals.clear(), decisions.clear());
  const lease = openLease({ ...options, onRevision });

  async function askPrincipal(token: string, key: string): Promise<Principal> {
    const answer = await current(lease, () => callUnary(client.authenticate.bind(client), { token }, unary));
    const principal = answer.principal!;
    if (principals.size >= TOKENS_CACHED_MAX) principals.clear();
    principals.set(key, { principal, expiresAtMs: Number(answer.expiresAtMs) });
    return principal;
  }

  async function askDecisions(principal: Principal, action: Action, subjects: readonly Subject[]): Promise<Decision[]> {
    const answers: Decision[] = [];
    for (let from = 0; from < subjects.length; from += DECIDE_MAX) {
      const asked = subjects.slice(from, from + DECIDE_MAX);
      const resources = asked.map(({ group, server, name, sandboxed }) => ({ group, server, tool: name, sandboxed }));
      const request = { principal, action, resources };
      const answer = await current(lease, () => callUnary(client.decide.bind(client), request, unary));
      if (answer.decisions.length !== asked.length)
        throw new AppError("internal", "policy answered another number of decisions");
      for (const [i, { allow, policyIds, reason }] of answer.decisions.entries()) {
        const decision = { allow, policies: policyIds, revision: Number(answer.revision), reason };
        answers.push(decision);
        if (decisions.size >= DECISIONS_CACHED_MAX) decisions.clear();
        decisions.set(decisionKey(principal, action, asked[i]!), decision);
      }
    }
    return answers;
  }

  return {
    authenticate(token) {
      const key = createHash("sha256").update(token).digest("base64");
      const known = lease.held ? principals.get(key) : undefined;
      if (known && (known.expiresAtMs === 0 || Date.now() < known.expiresAtMs)) return known.principal;
      return askPrincipal(token, key);
    },
    decide(principal, action, subjects) {
      if (!lease.held) return askDecisions(principal, action, subjects);
      const known: Decision[] = [];
      for (const subject of subjects) {
        const decision = decisions.get(decisionKey(principal, action, subject));
        if (!decision) return askDecisions(principal, action, subjects);
        known.push(decision);
      }
      return known;
    },
    get revision() {
      return Number(lease.revision);
    },
    problem: () => (lease.held ? undefined : "policy is not heard from"),
  };
}

/** All that policy is told: a server may move to another group, or into a sandbox, while the policies stay. */
function decisionKey(principal: Principal, action: Action, { group, server, name, sandboxed }: Subject): string {
  return `${principalKey(principal)}\n${action}\n${group}\n${server}\n${sandboxed}\n${name}`;
}

const principalKeys = new WeakMap<Principal, string>();

/** All that a decision may depend on: two access tokens of one user can differ in team, roles and permissions. */
export function principalKey(principal: Principal): string {
  const known = principalKeys.get(principal);
  if (known !== undefined) return known;
  const { tenant, id, team, roles, permissions } = principal;
  const key = JSON.stringify([tenant, id, team, roles, permissions]);
  principalKeys.set(principal, key);
  return key;
}

/**
 * Asks until the answer is of the revision that this gateway has taken; without a lease there is no such answer. A lease
 * that was lost because a machine was busy for a moment is waited for, briefly: a late answer is better than a refusal.
 */
async function current<A extends { revision: bigint }>(lease: Lease, call: () => Promise<A>): Promise<A> {
  const until = performance.now() + LEASE_WAIT_MS;
  for (let attempt = 1; attempt <= ATTEMPTS_MAX; attempt++) {
    while (!lease.held && performance.now() < until) await delay(LEASE_LOOK_MS);
    if (!lease.held) break;
    const answer = await call();
    if (lease.held && answer.revision === lease.revision) return answer;
    // The answer is ahead of the lease's stream: the stream's message is a moment behind.
    await delay(ATTEMPT_PAUSE_MS * attempt);
  }
  throw new AppError("unavailable", "policy is not heard from; nothing is let in until it is", { retryable: true });
}
