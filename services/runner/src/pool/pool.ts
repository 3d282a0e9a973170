import { type CallFacts, type ClientSide, type ServerHealth, streamOwner } from "@tollgate/contracts";
import { AppError } from "@tollgate/errors";
import type { Share } from "@tollgate/fair-queue";
import {
  findParamHeaders,
  LATEST_LEGACY_REVISION,
  LEGACY_REVISIONS,
  type NotificationFrame,
  type ParamHeader,
  paramValue,
} from "@tollgate/mcp";
import { usableCapabilities } from "../domain/client-capabilities.ts";
import { isRemote, type ServerSpec } from "../domain/server-spec.ts";
import type { Connection, Listener } from "../upstream/connection.ts";
import type { Offer } from "../upstream/discovery.ts";
import { createEraMemory } from "../upstream/era-memory.ts";
import { SHARED_CLIENT } from "../upstream/handshake.ts";
import { type Audience, createProcesses, type ProcessOptions, sharedBy, type Slot } from "./processes.ts";
import { createRestarts } from "./restarts.ts";

const SWEEP_MAX_MS = 10_000;
/** A server that says often that its tools have changed is asked for them no more often than this. */
const RELIST_DELAY_MS = 200;

/** What a pool found out about its server, for the registry. */
export type ServerReport =
  | ({ readonly status: "ready" } & Offer)
  | { readonly status: "unavailable"; readonly reason: string };

/** Who calls: what decides about the connection that a call gets. */
export interface Caller {
  readonly facts: Pick<CallFacts, "tenant" | "principal" | "session" | "protocol" | "method" | "tool">;
  readonly client: ClientSide;
  /** What it does is to be told apart from what others of its tenant do: tasks. */
  readonly apart: boolean;
  /** Whose turn it is where calls wait. */
  readonly share: Share;
  /** Aborted when the call has ended: it waits no more. */
  readonly signal?: AbortSignal;
}

/**
 * How it went with the server: `badly` when the connection was lost or a deadline passed, which is what the circuit
 * breakers count. Whatever a server answers is `well`, also that it refuses.
 */
export type Went = "well" | "badly";

export interface Lease {
  readonly connection: Connection;
  readonly kind: Audience["kind"];
  /** Whether this call had to wait for a process to start. */
  readonly coldStart: boolean;
  /** Gives the place back, once; the next one that waits gets it. Without a word nothing is known of the server. */
  release(went?: Went): void;
}

/**
 * The connections of one server (with stdio, each a process), none shared by tenants (invariant 6), each working on
 * many calls at a time. Which one a call gets: the tenant's shared one; but where a legacy server could ask the client
 * something, the session's own, or for clients without sessions one that no other call uses meanwhile. The connection
 * that was opened to learn the server's tools has seen no tenant's data; the first tenant that calls takes it over.
 */
export interface Pool {
  readonly spec: ServerSpec;
  readonly processes: number;
  /** The headers that a modern remote server wants to see some of a tool's arguments in. */
  paramHeaders(tool: string, args: unknown): Readonly<Record<string, string>> | undefined;
  /**
   * Waits until the server can take the call, as long as its queue allows.
   * @throws {AppError} `unavailable` (retryable: false where the pool is closed), `overloaded`; the reason of `signal`
   */
  acquire(caller: Caller): Promise<Lease>;
  /** These updates are wanted from now on, for this tenant no others. */
  hearOf(wanted: WantedUpdates): void;
  /** What a session tells the server unasked: for its own connection, where there is one. */
  tell(session: string, frame: NotificationFrame): void;
  /** Its own connection is needed no more. */
  endSession(session: string): void;
  /** Its live state, for whoever asks. */
  health(): PoolHealth;
  /** Replaces the processes, new ones first, unless this restart has been carried out already. */
  restart(generation: number): void;
  /** Takes no more calls, and ends the processes when theirs have ended. */
  close(): Promise<void>;
}

export type PoolHealth = Omit<ServerHealth, "runner" | "at" | "calls">;

/** Resources of a server that clients of a tenant want to hear of. */
export interface WantedUpdates {
  readonly tenant: string;
  readonly uris: ReadonlySet<string>;
  /** Those of them that sessions want, which may have connections of their own. */
  readonly bySession: ReadonlyMap<string, ReadonlySet<string>>;
}

export type ResourceListener = (
  whose: { readonly tenant: string; readonly session: string | undefined },
  frame: NotificationFrame,
) => void;

export interface PoolOptions extends ProcessOptions {
  readonly report: (report: ServerReport) => void;
  /** For what is said to a session outside of any call. */
  readonly listenerOf: (facts: Caller["facts"]) => Listener;
  readonly onResourceUpdated: ResourceListener;
}

export function openPool(options: PoolOptions): Pool {
  const { spec, config, report, log } = options;
  const max = isRemote(spec) ? config.connectionsPerServerMax : config.processesPerServerMax;
  let toolHeaders: ReadonlyMap<string, readonly ParamHeader[]> = new Map();
  let closed = false;
  let relisting: NodeJS.Timeout | undefined;
  /** By tenant. */
  const wanted = new Map<string, WantedUpdates>();
  const era = createEraMemory(config.eraKnownMs);
  const restarts = createRestarts({
    start: () => void discover(),
    onUnavailable: (reason) => report({ status: "unavailable", reason }),
    log,
  });
  const processes = createProcesses({
    ...options,
    era,
    events: {
      onStartFailed: (reason) => processes.count === 0 && restarts.failed(reason),
      onDeath(reason, livedMs) {
        log.warn({ reason, livedMs }, "a connection to a server ended");
        if (processes.count === 0 && !closed) restarts.died(reason, livedMs);
      },
      onListChanged(slot) {
        relisting ??= setTimeout(() => {
          relisting = undefined;
          learn(slot).catch((error: Error) => log.warn({ reason: error.message }, "what has changed is not known"));
        }, RELIST_DELAY_MS);
      },
      onTaken: subscribe,
      onResourceUpdated({ audience: { tenant, session } }, frame) {
        if (tenant !== undefined) options.onResourceUpdated({ tenant, session }, frame);
      },
    },
  });

  function subscribe(slot: Slot): void {
    const { kind, tenant = "", session = "" } = slot.audience;
    const of = wanted.get(tenant);
    const uris = kind === "shared" ? of?.uris : of?.bySession.get(session);
    slot.uris = uris ?? new Set();
    slot.connection?.hearOf(slot.uris);
  }

  async function discover(): Promise<void> {
    if (closed || processes.count > 0) return;
    const slot = processes.start(sharedBy(undefined));
    await learn(slot).catch((error: Error) => {
      // One that could not start, or has ended meanwhile, is known about already.
      if (processes.end(slot)) restarts.failed(error.message);
    });
  }

  async function learn(slot: Slot): Promise<void> {
    const connection = await slot.opening;
    const offer = await connection.listOffer();
    if (isRemote(spec)) toolHeaders = headersOf(offer.tools);
    restarts.recovered();
    if (!closed) report({ status: "ready", ...offer });
  }

  function startFor(audience: Audience): Slot {
    const { problem } = restarts;
    if (problem !== undefined) throw unavailable(problem);
    if (processes.count >= max && !processes.makeRoom()) {
      const what = isRemote(spec) ? "connections" : "processes";
      const reason = `server ${spec.serverId}: all ${max} ${what} are in use`;
      throw new AppError("overloaded", reason);
    }
    return processes.start(audience);
  }

  /** Nobody waits for it: it is tried again when the updates are next asked for. */
  function startIfRoom(audience: Audience): void {
    if (processes.count < max) processes.start(audience);
  }

  function unavailable(reason: string): AppError {
    return new AppError("unavailable", `server ${spec.serverId} is unavailable: ${reason}`);
  }

  async function opened(slot: Slot): Promise<Connection> {
    return slot.opening.catch((error: Error) => {
      throw unavailable(error.message);
    });
  }

  /** Where a server could ask the client something: its own connection, unless the server is modern. */
  async function ownUnlessModern(own: Audience, shared: Audience): Promise<Audience> {
    const known = era.era ?? (await opened(processes.find(shared) ?? startFor(shared))).era;
    return known === "modern" ? shared : own;
  }

  async function enter(slot: Slot): Promise<Lease> {
    const coldStart = slot.connection === undefined;
    // In the tick in which it was found: nobody else may find it idle.
    slot.users += 1;
    const leave = () => {
      slot.users -= 1;
      slot.usedAt = Date.now();
    };
    try {
      const connection = await opened(slot);
      await slot.places.enter();
      const release = () => (leave(), slot.places.leave());
      if (connection.ended === undefined) return { connection, kind: slot.audience.kind, coldStart, release };
      slot.places.leave();
      throw unavailable(`the server ${connection.ended}`);
    } catch (error) {
      leave();
      throw error;
    }
  }

  const sweepMs = Math.min(SWEEP_MAX_MS, config.processIdleMs, config.sessionIdleMs);
  const sweep = setInterval(() => processes.sweep(), sweepMs);
  void discover();
  return {
    spec,
    get processes() {
      return processes.count;
    },
    paramHeaders(tool, args) {
      const headers = toolHeaders.get(tool);
      if (headers === undefined) return undefined;
      const entries = headers.map(({ header, path }) => [header, paramValue(args, path)]);
      return Object.fromEntries(entries.filter(([, value]) => value !== undefined)) as Record<string, string>;
    },
    async acquire(caller) {
      if (closed) throw unavailable("it is being stopped or replaced");
      const shared = sharedBy(caller.facts.tenant);
      const own = ownAudience(caller, spec, options.listenerOf);
      const audience = own === undefined ? shared : await ownUnlessModern(own, shared);
      return enter(processes.find(audience) ?? startFor(audience));
    },
    hearOf(now) {
      if (closed) return;
      if (now.uris.size === 0) wanted.delete(now.tenant);
      else wanted.set(now.tenant, now);
      const shared = sharedBy(now.tenant);
      if (now.uris.size > 0 && restarts.problem === undefined && !processes.find(shared)) startIfRoom(shared);
      for (const slot of processes.all()) if (slot.audience.tenant === now.tenant) subscribe(slot);
    },
    tell(session, frame) {
      for (const slot of processes.all()) if (slot.audience.session === session) slot.connection?.pass(frame);
    },
    endSession(session) {
      for (const slot of processes.all()) if (slot.audience.session === session) processes.end(slot);
    },
    health() {
      const slots = [...processes.all()];
      const open = slots.filter(({ connection }) => connection !== undefined);
      const { mode, min, max: processesMax, queue } = spec.pool;
      return {
        server: spec.serverId,
        state: restarts.problem !== undefined ? "unavailable" : open.length > 0 ? "ready" : "starting",
        generation: 0,
        isolation: "none",
        limitsBy: "none",
        pool: {
          mode,
          processes: slots.length,
          starting: slots.length - open.length,
          busy: slots.filter(({ users }) => users > 0).length,
          min,
          max: processesMax,
          callsRunning: slots.reduce((sum, { places }) => sum + places.taken, 0),
          callsWaiting: 0,
          queue,
        },
        breaker: "closed",
        toolBreakers: {},
        restarts: 0,
        starts: 0,
        processes: open.map(({ audience, users, connection, usedAt }) => ({
          pid: connection!.pid,
          tenant: audience.tenant ?? "",
          calls: users,
          startedAt: usedAt,
        })),
      };
    },
    restart() {},
    async close() {
      closed = true;
      clearInterval(sweep);
      clearTimeout(relisting);
      restarts.stop();
      await processes.finish();
    },
  };
}

const nameOf = (tool: string) => String((JSON.parse(tool) as { name?: unknown } | null)?.name);

function headersOf(tools: readonly string[]): ReadonlyMap<string, readonly ParamHeader[]> {
  const marked = tools.map((tool) => [nameOf(tool), findParamHeaders(tool)] as const);
  return new Map(marked.filter(([, headers]) => headers.length > 0));
}

/** The connection that a legacy server needs to ask this client something; undefined where it has nothing to ask. */
function ownAudience(
  { facts, client, apart }: Caller,
  spec: ServerSpec,
  listenerOf: PoolOptions["listenerOf"],
): Audience | undefined {
  const { tenant, session, protocol } = facts;
  const capabilities = usableCapabilities(client, spec.clientCapabilities);
  if (capabilities === undefined && !apart) return undefined;
  if (client.era === "modern") {
    if (capabilities === undefined) return undefined;
    const key = JSON.stringify(capabilities);
    const listener = { onNotice: () => undefined, onQuestion: refuseUnasked };
    return { kind: "exclusive", tenant, key, client: { ...SHARED_CLIENT, capabilities }, listener };
  }
  if (session === undefined) return undefined;
  const legacyProtocol = LEGACY_REVISIONS.some((each) => each === protocol) ? protocol : LATEST_LEGACY_REVISION;
  const info = client.info ?? SHARED_CLIENT.info;
  const told = { capabilities: capabilities ?? {}, info, protocol: legacyProtocol };
  return { kind: "bound", tenant, session, key: streamOwner(facts), client: told, listener: listenerOf(facts) };
}

const refuseUnasked: Listener["onQuestion"] = ({ refuse }) =>
  refuse(-32601, "the client waits for nothing and cannot be asked");
