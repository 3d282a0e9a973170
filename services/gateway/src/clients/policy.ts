import { hash } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import type { Metadata } from "@grpc/grpc-js";
import { type Decision, type policyV1, type Recordable, RECORDABLE } from "@tollgate/contracts";
import { AppError } from "@tollgate/errors";
import { callUnary, type Log } from "@tollgate/service";
import type { AdminAction } from "../domain/admin-actions.ts";
import type { Action } from "../domain/lists.ts";
import type { Subject } from "../domain/targets.ts";
import { type Lease, openLease } from "./lease.ts";
import { createUsed } from "./used.ts";

const TIMEOUT_MS = 2_000;
/** How long a request waits for a lost lease to come back. */
const LEASE_WAIT_MS = 1_000;
const LEASE_LOOK_MS = 20;
/** A decision is asked for again when the policies changed while it was on its way. */
const ATTEMPTS_MAX = 3;
const ATTEMPT_PAUSE_MS = 5;
/** Each part is remembered: a list that took too long goes on where it was when it is asked for again. */
const DECIDE_MAX = 500;
const TOKENS_CACHED_MAX = 20_000;
const RULINGS_CACHED_MAX = 200_000;

export type Principal = policyV1.Principal;

/** Who asks, and from where. */
export interface Asker {
  readonly principal: Principal;
  /** The client's address. */
  readonly address: string;
}

/** What a client proves with who it is: a token, a certificate, or both. */
export interface Credentials {
  /** Empty where there is only a certificate. */
  readonly token: string;
  /** Whose chain has been verified. */
  readonly certificate: policyV1.Certificate | undefined;
}

/** What policy says of one action on one subject. */
export interface Ruling {
  readonly decision: Decision;
  /** It was asked without the call's arguments, and only says whether some may be allowed. */
  readonly variesByArguments: boolean;
  /** Unix milliseconds until which it may be remembered; 0: as long as the revision. */
  readonly validUntilMs: number;
  /** So many people have to approve of the call first. */
  readonly approvalsNeeded: number;
  /** All that is missing is a stronger sign-in. */
  readonly stepUp: policyV1.StepUp | undefined;
  /** Limits that a call counts against. */
  readonly limits: readonly string[];
  /** What of a call has to be kept whole. */
  readonly record: readonly Recordable[];
}

/** What policy has said, remembered for as long as policy is heard from: until the lease ends or the revision changes. */
export interface Policy {
  /** @throws {AppError} `unauthenticated`; `unavailable` without a lease */
  authenticate(credentials: Credentials): Principal | Promise<Principal>;
  /** In the order of `subjects`. @throws {AppError} `unavailable` without a lease */
  decide(asker: Asker, action: Action | AdminAction, subjects: readonly Subject[]): Ruling[] | Promise<Ruling[]>;
  /** With the call's arguments, as JSON. Never remembered. @throws {AppError} `unavailable` without a lease */
  decideCall(asker: Asker, action: Action | AdminAction, subject: Subject, callArguments: string): Promise<Ruling>;
  readonly revision: number;
  /** Rulings of this revision may vary by the client's address. */
  readonly addressMatters: boolean;
  /** What was found under that revision holds now. */
  holds(revision: number): boolean;
  /** A session that somebody else than its client has ended. */
  hasEnded(session: string): boolean;
  /** Called when a new revision has come, before it is acknowledged: what is done at once holds when the change returns. */
  onRevision(listener: (endedSessions: ReadonlySet<string>) => void): void;
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
  const principals = new Map<string, KnownPrincipal>();
  const rulings = new Map<string, Ruling>();
  const listeners: ((endedSessions: ReadonlySet<string>) => void)[] = [];
  const used = createUsed();
  const lease: Lease = openLease({
    ...options,
    takeUsed: () => used.take(),
    onRevision() {
      principals.clear();
      rulings.clear();
      for (const listener of listeners) listener(lease.endedSessions);
    },
  });

  async function askPrincipal(credentials: Credentials, key: string): Promise<Principal> {
    const answer = await current(lease, () => callUnary(client.authenticate.bind(client), credentials, unary));
    const principal = answer.principal!;
    if (principals.size >= TOKENS_CACHED_MAX) principals.clear();
    const known = { principal, expiresAtMs: Number(answer.expiresAtMs), usedIn: -1 };
    principals.set(key, known);
    used.note(known);
    return principal;
  }

  async function ask(
    { principal, address }: Asker,
    action: Action | AdminAction,
    { subjects, callArguments }: { subjects: readonly Subject[]; callArguments?: string | undefined },
  ): Promise<Ruling[]> {
    const resources = subjects.map(toResource);
    const request = { principal, action, resources, address, arguments: callArguments };
    const answer = await current(lease, () => callUnary(client.decide.bind(client), request, unary));
    if (answer.decisions.length !== subjects.length)
      throw new AppError("internal", "policy answered another number of decisions");
    return answer.decisions.map((decision) => toRuling(decision, Number(answer.revision)));
  }

  async function askAll(asker: Asker, action: Action | AdminAction, subjects: readonly Subject[]): Promise<Ruling[]> {
    const answers: Ruling[] = [];
    for (let from = 0; from < subjects.length; from += DECIDE_MAX) {
      const asked = subjects.slice(from, from + DECIDE_MAX);
      for (const [i, ruling] of (await ask(asker, action, { subjects: asked })).entries()) {
        answers.push(ruling);
        if (rulings.size >= RULINGS_CACHED_MAX) rulings.clear();
        rulings.set(keyOf(asker, action, asked[i]!), ruling);
      }
    }
    return answers;
  }

  /** A list of which a tool is new asks about that one. */
  async function askRest(
    asker: Asker,
    action: Action | AdminAction,
    { known, unknown, all }: { known: (Ruling | undefined)[]; unknown: Subject[]; all: readonly Subject[] },
  ): Promise<Ruling[]> {
    const { revision } = lease;
    const asked = (await askAll(asker, action, unknown)).values();
    // What was known before the answers came is of their revision, or everything is asked for.
    if (lease.revision !== revision) return askAll(asker, action, all);
    return known.map((ruling) => ruling ?? asked.next().value!);
  }

  /** What a ruling rests on. A server may move to another group, or into a sandbox, while the policies stay. */
  function keyOf({ principal, address }: Asker, action: Action | AdminAction, subject: Subject): string {
    const { group, server, name, sandboxed, environment, risk } = subject;
    const from = lease.addressMatters ? address : "";
    return `${principalKey(principal)}\n${from}\n${action}\n${group}\n${server}\n${sandboxed}\n${environment}\n${risk}\n${name}`;
  }

  return {
    authenticate(credentials) {
      const { token, certificate } = credentials;
      const hashed = hash("sha256", token, "base64");
      const key = certificate === undefined ? hashed : `${hashed} ${certificate.sha256}`;
      const known = lease.held ? principals.get(key) : undefined;
      if (!known || (known.expiresAtMs !== 0 && Date.now() >= known.expiresAtMs)) return askPrincipal(credentials, key);
      used.note(known);
      return known.principal;
    },
    decide(asker, action, subjects) {
      if (!lease.held) return askAll(asker, action, subjects);
      const nowMs = Date.now();
      const known: (Ruling | undefined)[] = [];
      const unknown: Subject[] = [];
      for (const subject of subjects) {
        const ruling = rulings.get(keyOf(asker, action, subject));
        const holds = ruling !== undefined && (ruling.validUntilMs === 0 || nowMs < ruling.validUntilMs);
        known.push(holds ? ruling : undefined);
        if (!holds) unknown.push(subject);
      }
      if (unknown.length === 0) return known as Ruling[];
      return askRest(asker, action, { known, unknown, all: subjects });
    },
    async decideCall(asker, action, subject, callArguments) {
      return (await ask(asker, action, { subjects: [subject], callArguments }))[0]!;
    },
    get revision() {
      return Number(lease.revision);
    },
    get addressMatters() {
      return lease.addressMatters;
    },
    holds: (revision) => lease.held && revision === Number(lease.revision),
    hasEnded: (session) => lease.endedSessions.has(session),
    onRevision: (listener) => void listeners.push(listener),
    problem: () => (lease.held ? undefined : "policy is not heard from"),
  };
}

interface KnownPrincipal {
  readonly principal: Principal;
  readonly expiresAtMs: number;
  /** The interval in which its use was noted last. */
  usedIn: number;
}

function toResource({ group, server, name, sandboxed, environment, risk }: Subject): policyV1.Resource {
  return { group, server, tool: name, sandboxed, environment, risk };
}

function toRuling(given: policyV1.Decision, revision: number): Ruling {
  const { allow, policyIds, reason, approvalId, variesByArguments, validUntilMs, approvalsNeeded, stepUp, limits } =
    given;
  const approval = approvalId === "" ? {} : { approval: approvalId };
  return {
    decision: { allow, policies: policyIds, revision, reason, ...approval },
    variesByArguments,
    validUntilMs: Number(validUntilMs),
    approvalsNeeded,
    stepUp,
    limits,
    record: RECORDABLE.filter((each) => given.record.includes(each)),
  };
}

const principalKeys = new WeakMap<Principal, string>();

/** All that a decision may depend on: two access tokens of one user can differ in team, roles and permissions. */
export function principalKey(principal: Principal): string {
  const known = principalKeys.get(principal);
  if (known !== undefined) return known;
  const { tenant, id, team, roles, permissions, credential, amr, acr, authenticatedAtMs } = principal;
  const signIn = [credential, amr, acr, Number(authenticatedAtMs)];
  const key = JSON.stringify([tenant, id, team, roles, permissions, ...signIn]);
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
