import type { NotificationFrame } from "@tollgate/mcp";
import type { Log } from "@tollgate/service";
import type { RunnerConfig } from "../config.ts";
import type { Containment } from "../containment/containment.ts";
import { allowedCapabilities } from "../domain/client-capabilities.ts";
import { isRemote, type ServerSpec } from "../domain/server-spec.ts";
import type { CommandResolver } from "../launch/command.ts";
import { type Connection, type Listener, openConnection } from "../upstream/connection.ts";
import type { EraMemory } from "../upstream/era-memory.ts";
import { type LegacyClient, SHARED_CLIENT } from "../upstream/handshake.ts";
import { createPlaces, type Places } from "./places.ts";
import { openRemote } from "../upstream/remote-transport.ts";
import { startStdioTransport } from "../upstream/stdio-transport.ts";
import type { RemoteKind, Transport, TransportEvents } from "../upstream/transport.ts";

/** How long the calls of a server that was replaced have to end. */
const CALLS_FINISH_MAX_MS = 120_000;

export interface ProcessOptions {
  readonly spec: ServerSpec;
  readonly config: RunnerConfig;
  readonly resolveCommand: CommandResolver;
  readonly containment: Containment;
  /** Aborted when the runner stops: nothing is waited for any more. */
  readonly signal: AbortSignal;
  readonly log: Log;
}

/**
 * For whom a connection is. `shared`: all of a tenant's clients. `bound`: one session of a legacy client, which the
 * server may ask things. `exclusive`: one call at a time of modern clients of a tenant that can be asked the same.
 */
export interface Audience {
  readonly kind: "shared" | "bound" | "exclusive";
  /** Undefined as long as it has seen no tenant's data. */
  tenant: string | undefined;
  /** Whose: the session and its principal, or the capabilities. */
  readonly key: string;
  /** Of a bound one. */
  readonly session?: string;
  readonly client: LegacyClient;
  /** The one client, for what comes while it waits for nothing. */
  readonly listener: Listener | undefined;
}

const NO_URIS: ReadonlySet<string> = new Set();

export const sharedBy = (tenant: string | undefined): Audience => ({
  kind: "shared",
  tenant,
  key: "",
  client: SHARED_CLIENT,
  listener: undefined,
});

/** One connection, from the moment it is to be opened; with stdio, a process. */
export interface Slot {
  readonly audience: Audience;
  readonly opening: Promise<Connection>;
  /** Undefined while it starts. */
  connection: Connection | undefined;
  readonly places: Places;
  /** Calls that have it, or are about to. */
  users: number;
  /** Resources that somebody wants to hear of through it. */
  uris: ReadonlySet<string>;
  usedAt: number;
}

/** The connections of one server. None is shared by tenants (invariant 6); one may be nobody's yet. */
export interface Processes {
  readonly count: number;
  /** The audience's own connection, or the one that is nobody's, which becomes the tenant's. */
  find(audience: Audience): Slot | undefined;
  start(audience: Audience): Slot;
  /** Ends a connection that is still there. False when it has gone already. */
  end(slot: Slot): boolean;
  all(): Iterable<Slot>;
  /** Ends the one that nobody has used for longest, one with subscriptions last. False when all are in use. */
  makeRoom(): boolean;
  /** Ends those that nobody has used for a while; of the shared ones the last stays. */
  sweep(): void;
  /** Ends all, each when its calls have ended. */
  finish(): Promise<void>;
}

export interface ProcessEvents {
  readonly onStartFailed: (reason: string) => void;
  /** It is open, or has become a tenant's. */
  readonly onTaken: (slot: Slot) => void;
  /** A connection that was open has ended by itself. */
  readonly onDeath: (reason: string, livedMs: number) => void;
  readonly onListChanged: (slot: Slot) => void;
  readonly onResourceUpdated: (slot: Slot, frame: NotificationFrame) => void;
}

export function createProcesses(options: ProcessOptions & { era: EraMemory; events: ProcessEvents }): Processes {
  const { spec, config, signal, era, events } = options;
  const slots = new Set<Slot>();
  const ending = new Set<Promise<void>>();

  function start(audience: Audience): Slot {
    const name = `server ${spec.serverId}`;
    const places = createPlaces({ name, max: config.callsPerProcessMax, waitingMax: config.callsWaitingMax });
    // Resolved first, so that `slot` is there when the connection speaks of it.
    const opening = Promise.resolve().then(() => connect(slot));
    const slot: Slot = {
      audience,
      connection: undefined,
      places,
      users: 0,
      uris: NO_URIS,
      usedAt: Date.now(),
      opening,
    };
    slots.add(slot);
    opening.then(
      (connection) => {
        slot.connection = connection;
        events.onTaken(slot);
        era.remember(connection.era);
      },
      (error: Error) => {
        slots.delete(slot);
        era.forget();
        events.onStartFailed(error.message);
      },
    );
    return slot;
  }

  async function connect(slot: Slot): Promise<Connection> {
    const startedAt = Date.now();
    return openConnection({
      open: await transportOf(options),
      client: {
        ...slot.audience.client,
        capabilities: allowedCapabilities(slot.audience.client.capabilities, spec.clientCapabilities),
      },
      era: era.era,
      startupTimeoutMs: spec.startupTimeoutMs,
      signal,
      log: options.log,
      events: {
        onEnd: (reason) => {
          const unexpected = slots.delete(slot) && slot.connection !== undefined;
          slot.places.open();
          if (!unexpected) return;
          era.forget();
          events.onDeath(reason, Date.now() - startedAt);
        },
        onListChanged: () => events.onListChanged(slot),
        onResourceUpdated: (frame) => events.onResourceUpdated(slot, frame),
        onOtherEra: () => {
          era.forget();
          end(slot);
        },
        client: slot.audience.listener,
      },
    });
  }

  function end(slot: Slot): boolean {
    if (!slots.delete(slot)) return false;
    const ended = endWhenIdle(slot, signal).finally(() => ending.delete(ended));
    ending.add(ended);
    return true;
  }

  const idle = () =>
    [...slots].filter((slot) => slot.connection && slot.users === 0).toSorted((a, b) => a.usedAt - b.usedAt);

  return {
    get count() {
      return slots.size;
    },
    find(audience) {
      const slot = findSlot(slots, audience);
      if (slot === undefined || slot.audience.tenant !== undefined) return slot;
      slot.audience.tenant = audience.tenant;
      events.onTaken(slot);
      return slot;
    },
    all: () => slots,
    start,
    end,
    makeRoom() {
      const [oldest] = idle().toSorted((a, b) => Math.sign(a.uris.size) - Math.sign(b.uris.size));
      return oldest !== undefined && end(oldest);
    },
    sweep() {
      const idleMsOf = { shared: config.processIdleMs, bound: config.sessionIdleMs, exclusive: config.sessionIdleMs };
      let shared = [...slots].filter(({ audience }) => audience.kind === "shared").length;
      for (const slot of idle()) {
        const { kind } = slot.audience;
        if (slot.uris.size > 0 || slot.usedAt > Date.now() - idleMsOf[kind] || (kind === "shared" && shared === 1))
          continue;
        if (kind === "shared") shared -= 1;
        end(slot);
      }
    },
    async finish() {
      for (const slot of slots) end(slot);
      await Promise.all(ending);
    },
  };
}

/** How a connection is opened. @throws {AppError} `unavailable` when the command is not to be had */
async function transportOf(options: ProcessOptions): Promise<(events: TransportEvents) => Transport> {
  const { spec, config, signal, log } = options;
  const lineMaxBytes = config.responseMaxBytes;
  const { url, headers } = spec;
  if (isRemote(spec)) {
    const transport = REMOTE_KINDS[spec.transport] ?? "auto";
    return (events) => openRemote({ url, headers, transport, lineMaxBytes, events, log });
  }
  const command = await options.resolveCommand(spec, signal);
  signal.throwIfAborted();
  const contained = options.containment.contain(spec, command);
  return (events) => startStdioTransport({ ...options, contained, lineMaxBytes, events });
}

const REMOTE_KINDS: Readonly<Record<string, RemoteKind>> = {
  "streamable-http": "http",
  sse: "sse",
  websocket: "websocket",
};

function findSlot(slots: ReadonlySet<Slot>, { kind, tenant, key }: Audience): Slot | undefined {
  let spare: Slot | undefined;
  for (const slot of slots) {
    const { audience } = slot;
    if (audience.kind !== kind || audience.key !== key) continue;
    if (kind === "exclusive" && slot.users > 0) continue;
    if (audience.tenant === tenant) return slot;
    if (audience.tenant === undefined) spare = slot;
  }
  return spare;
}

async function endWhenIdle(slot: Slot, signal: AbortSignal): Promise<void> {
  const connection = await slot.opening.catch(() => undefined);
  if (connection === undefined) return;
  const late = AbortSignal.any([signal, AbortSignal.timeout(CALLS_FINISH_MAX_MS)]);
  await new Promise<void>((resolve) => {
    if (late.aborted) resolve();
    late.addEventListener("abort", () => resolve(), { once: true });
    void slot.places.emptied().then(resolve);
  });
  await connection.end();
}
