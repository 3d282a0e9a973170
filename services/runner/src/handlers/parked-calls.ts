import { randomUUID } from "node:crypto";
import { type CallFacts, streamOwner } from "@tollgate/contracts";
import { AppError } from "@tollgate/errors";
import type { Sealers } from "@tollgate/mcp";
import type { RunnerConfig } from "../config.ts";
import type { UpstreamCall } from "./upstream-call.ts";

/**
 * Calls of modern clients whose legacy servers want to know something first: answered with `input_required`, their
 * requests wait here, each holding its connection, for the call that brings the answers. held → taken or expired, once.
 */
export interface ParkedCalls {
  /** Returns the sealed `requestState` that the client brings back. @throws {AppError} `overloaded` */
  hold(upstream: UpstreamCall, facts: CallFacts): string;
  /** For its own principal, and for the same request only. Undefined when there is none. */
  take(id: string, facts: CallFacts): UpstreamCall | undefined;
  close(): void;
}

interface Parked {
  readonly upstream: UpstreamCall;
  readonly facts: CallFacts;
  readonly timer: NodeJS.Timeout;
}

type Limits = Pick<RunnerConfig, "parkedMs" | "parkedCallsMax" | "parkedCallsPerTenantMax">;

export function createParkedCalls(options: { runner: string; sealers: Sealers; limits: Limits }): ParkedCalls {
  const { runner, sealers, limits } = options;
  const { parkedMs, parkedCallsMax, parkedCallsPerTenantMax } = limits;
  const parked = new Map<string, Parked>();

  function checkRoom(tenant: string): void {
    const own = [...parked.values()].filter(({ facts }) => facts.tenant === tenant).length;
    if (parked.size < parkedCallsMax && own < parkedCallsPerTenantMax) return;
    throw new AppError("overloaded", "too many calls wait for their clients' answers; try again later");
  }

  function expire(id: string): void {
    const { upstream } = parked.get(id)!;
    parked.delete(id);
    upstream.cancel("the client did not come back with its answers");
    upstream.release();
  }

  return {
    hold(upstream, facts) {
      const { tenant, principal, server, method, tool } = facts;
      checkRoom(tenant);
      const id = randomUUID();
      const timer = setTimeout(() => expire(id), parkedMs);
      parked.set(id, { upstream, facts, timer });
      upstream.park(streamOwner(facts));
      const expiresAt = Date.now() + parkedMs;
      return sealers.state.seal({ tenant, principal, server, runner, expiresAt, method, name: tool, parked: id });
    },
    take(id, { tenant, principal, server, method, tool }) {
      const found = parked.get(id);
      if (!found) return undefined;
      const { facts } = found;
      const same = facts.tenant === tenant && facts.principal === principal && facts.server === server;
      if (!same || facts.method !== method || facts.tool !== tool) return undefined;
      clearTimeout(found.timer);
      parked.delete(id);
      return found.upstream;
    },
    close() {
      for (const [id, { timer }] of parked) {
        clearTimeout(timer);
        expire(id);
      }
    },
  };
}
