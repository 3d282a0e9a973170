import { type CallFacts, type ClientSide, streamOwner } from "@tollgate/contracts";
import { LATEST_LEGACY_REVISION, LEGACY_REVISIONS } from "@tollgate/mcp";
import { usableCapabilities } from "../domain/client-capabilities.ts";
import type { ServerSpec } from "../domain/server-spec.ts";
import type { Listener } from "../upstream/connection.ts";
import { type LegacyClient, SHARED_CLIENT } from "../upstream/handshake.ts";

/**
 * For whom a connection is. `shared`: all of a tenant's clients. `bound`: one session of a client, or in pools of the
 * mode "session" one principal of clients without sessions. `exclusive`: one call at a time of modern clients of a
 * tenant that can be asked the same.
 */
export interface Audience {
  readonly kind: "shared" | "bound" | "exclusive";
  /** Says the same of two audiences that a connection can serve alike. */
  readonly id: string;
  /** Empty for everybody's; undefined as long as it has seen no tenant's data. */
  readonly tenant: string | undefined;
  /** Of a bound one. */
  readonly session?: string | undefined;
  readonly client: LegacyClient;
  /** The one client, for what comes while it waits for nothing. */
  readonly listener: Listener | undefined;
  /** Calls at the same time on one of its connections. */
  readonly callsMax: number;
  /** Connections at the same time: what is bound has one, in which its state is. */
  readonly connectionsMax: number;
}

/** Whose call it is: what decides about the connection that it gets. */
export interface Asking {
  readonly facts: Pick<CallFacts, "tenant" | "principal" | "session" | "protocol">;
  readonly client: ClientSide;
  /** What it does is to be told apart from what others of its tenant do: tasks. */
  readonly apart: boolean;
}

/** Which connections a server's callers get, as its pool and its capabilities say. */
export interface Audiences {
  /** Of the connection that was opened before anybody called. */
  readonly nobody: Audience;
  /** False where each session has its own. */
  readonly shares: boolean;
  shared(tenant: string): Audience;
  /**
   * The connection of its own that a client needs whom a legacy server may ask something; undefined where there is
   * nothing to ask. In a pool of sessions it is needed of servers of any era.
   */
  own(asking: Asking): Audience | undefined;
}

const NOBODY = "\n";
/** Audiences of tenants that are remembered: one for each call would be many. */
const KNOWN_MAX = 1_000;
const CLIENT_OF_NOBODY = { client: SHARED_CLIENT, listener: undefined } as const;
const refuseUnasked: Listener["onQuestion"] = ({ refuse }) =>
  refuse(-32601, "the client waits for nothing and cannot be asked");

export function createAudiences(
  spec: Pick<ServerSpec, "pool" | "clientCapabilities">,
  listenerOf: (facts: Asking["facts"]) => Listener,
): Audiences {
  const { mode, shared: everybody, maxPerTenant, max } = spec.pool;
  const callsMax = mode === "exclusive" ? 1 : spec.pool.callsPerProcess;
  const many = { callsMax, connectionsMax: everybody ? max : maxPerTenant };
  const inSessions = mode === "session";
  const known = new Map<string, Audience>();

  function shared(tenant: string): Audience {
    const audience: Audience = { kind: "shared", id: tenant, tenant, ...CLIENT_OF_NOBODY, ...many };
    if (known.size >= KNOWN_MAX) known.clear();
    known.set(tenant, audience);
    return audience;
  }

  function bound({ facts, client }: Asking, capabilities: Audience["client"]["capabilities"]): Audience {
    const { tenant, session, protocol } = facts;
    const legacyProtocol = LEGACY_REVISIONS.some((each) => each === protocol) ? protocol : LATEST_LEGACY_REVISION;
    const told = { capabilities, info: client.info ?? SHARED_CLIENT.info, protocol: legacyProtocol };
    const whose = session === undefined ? CLIENT_OF_NOBODY : { session, client: told, listener: listenerOf(facts) };
    return { kind: "bound", id: `\nbound\n${streamOwner(facts)}`, tenant, ...whose, callsMax, connectionsMax: 1 };
  }

  /** Of a modern client: it comes back with its answers, so that only one call may be the one that is asked. */
  function asked(asking: Asking, capabilities: Audience["client"]["capabilities"]): Audience {
    const { tenant } = asking.facts;
    const client = { ...SHARED_CLIENT, capabilities };
    const listener = { onNotice: () => undefined, onQuestion: refuseUnasked };
    const key = JSON.stringify(capabilities);
    if (inSessions) {
      const whose = bound(asking, capabilities);
      return { ...whose, id: `${whose.id}\n${key}`, client, listener, callsMax: 1 };
    }
    const id = `\nexclusive\n${everybody ? "" : tenant}\n${key}`;
    return { ...many, kind: "exclusive", id, tenant: everybody ? "" : tenant, client, listener, callsMax: 1 };
  }

  return {
    nobody: { kind: "shared", id: NOBODY, tenant: undefined, ...CLIENT_OF_NOBODY, ...many },
    shares: !inSessions,
    shared(tenant) {
      const whose = everybody ? "" : tenant;
      return known.get(whose) ?? shared(whose);
    },
    own(asking) {
      const { facts, client, apart } = asking;
      const capabilities = usableCapabilities(client, spec.clientCapabilities);
      if (client.era === "modern" && capabilities !== undefined) return asked(asking, capabilities);
      if (inSessions) return bound(asking, capabilities ?? {});
      if (capabilities === undefined && !apart) return undefined;
      return client.era === "legacy" && facts.session !== undefined ? bound(asking, capabilities ?? {}) : undefined;
    },
  };
}
