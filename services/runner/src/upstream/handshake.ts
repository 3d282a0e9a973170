import { setImmediate as nextTick, setTimeout as delay } from "node:timers/promises";
import { AppError } from "@tollgate/errors";
import {
  CLIENT_CAPABILITIES_KEY,
  CLIENT_INFO_KEY,
  type Era,
  LATEST_LEGACY_REVISION,
  LEGACY_REVISIONS,
  MODERN_REVISION,
  PROTOCOL_VERSION_KEY,
  type ResponseFrame,
  resultMember,
  RPC,
  SERVER_INFO_KEY,
} from "@tollgate/mcp";
import type { Wire } from "./wire.ts";

/** How long a server may take to say that it does not know `server/discover`, before it is taken for a legacy one. */
const PROBE_TIMEOUT_MS = 2_000;
const LATE = Symbol("late");
const INSTRUCTIONS_MAX_CHARS = 100_000;
const OWN_INFO = { name: "tollgate", version: "0.1.0" };

/** Whom a legacy server is told to be speaking with. */
export interface LegacyClient {
  readonly capabilities: Readonly<Record<string, unknown>>;
  readonly info: Readonly<Record<string, unknown>>;
  readonly protocol: string;
}

/** Of a connection that many clients share: it can do everything, so that the server shows all that it has. */
export const SHARED_CLIENT: LegacyClient = {
  capabilities: { sampling: {}, elicitation: { form: {}, url: {} }, roots: {} },
  info: OWN_INFO,
  protocol: LATEST_LEGACY_REVISION,
};

/** What each request of our own to a modern server says of the client. */
export const MODERN_META = {
  [PROTOCOL_VERSION_KEY]: MODERN_REVISION,
  [CLIENT_CAPABILITIES_KEY]: SHARED_CLIENT.capabilities,
  [CLIENT_INFO_KEY]: OWN_INFO,
};

export interface Handshake {
  readonly era: Era;
  /** The revision that the server speaks. */
  readonly protocol: string;
  /** As JSON. */
  readonly serverInfo: string;
  /** As JSON, as the server wrote it. */
  readonly capabilities: string;
  readonly instructions: string;
}

/**
 * `server/discover` first, unless the server is known to be a legacy one; `initialize` where it does not know that.
 * Never a request before: some servers run calls that come before `initialize`.
 * @throws {AppError} `unavailable`
 */
export async function shakeHands(
  wire: Wire,
  options: { era: Era | undefined; client: LegacyClient; startupTimeoutMs: number },
): Promise<Handshake> {
  const { era, client, startupTimeoutMs } = options;
  const initialize = () => requestInitialize(wire, client, startupTimeoutMs);
  if (era === "legacy") return asLegacy(wire, await initialize());
  const remote = wire.pid === 0;
  const probing = probe(wire, remote ? Math.min(PROBE_TIMEOUT_MS, startupTimeoutMs) : startupTimeoutMs);
  // It may fail after the handshake is over, when the server ends.
  probing.catch(() => undefined);
  const early = await (remote ? probing : Promise.race([probing, delay(PROBE_TIMEOUT_MS, LATE, { ref: false })]));
  if (early !== LATE) return early === undefined ? asLegacy(wire, await initialize()) : asModern(wire, early);
  // Silent, or a program that is slow to start: that reads the probe first, and what it says to it counts.
  const initializing = initialize();
  const afterwards = () => nextTick(undefined);
  const discovered = await Promise.race([probing, initializing.then(afterwards, afterwards)]);
  return discovered === undefined ? asLegacy(wire, await initializing) : asModern(wire, discovered);
}

function asModern(wire: Wire, discovered: ResponseFrame): Handshake {
  wire.speak("modern", MODERN_REVISION);
  const meta = (discovered.result as { _meta?: Record<string, unknown> } | null)?._meta;
  const serverInfo = JSON.stringify(meta?.[SERVER_INFO_KEY] ?? {});
  return { era: "modern", protocol: MODERN_REVISION, serverInfo, ...offerOf(discovered) };
}

/** The modern server's own description; undefined when it is none. @throws {AppError} of a revision that is not ours */
async function probe(wire: Wire, timeoutMs: number): Promise<ResponseFrame | undefined> {
  wire.speak("modern", MODERN_REVISION);
  let frame: ResponseFrame;
  try {
    frame = await wire.request("server/discover", { _meta: MODERN_META }, timeoutMs);
  } catch (error) {
    if (wire.ended !== undefined) throw error;
    return undefined;
  }
  const refused = frame.error?.code === RPC.unsupportedProtocolVersion;
  if (frame.error !== undefined && !refused) return undefined;
  const data = frame.error as { data?: { supported?: unknown } } | undefined;
  const supported = refused
    ? data?.data?.supported
    : (frame.result as { supportedVersions?: unknown } | null)?.supportedVersions;
  // Some old servers answer what they do not know with an empty result.
  if (!Array.isArray(supported)) return undefined;
  if (supported.includes(MODERN_REVISION)) return frame;
  if (LEGACY_REVISIONS.some((each) => supported.includes(each))) return undefined;
  throw new AppError("unavailable", `the server speaks MCP ${JSON.stringify(supported)}, none of which is supported`);
}

function requestInitialize(wire: Wire, client: LegacyClient, timeoutMs: number): Promise<ResponseFrame> {
  wire.speak("legacy", "");
  const params = { protocolVersion: client.protocol, capabilities: client.capabilities, clientInfo: client.info };
  return wire.request("initialize", params, timeoutMs);
}

function asLegacy(wire: Wire, frame: ResponseFrame): Handshake {
  const { result, error } = frame;
  if (error !== undefined)
    throw new AppError("unavailable", `the server refused initialize: ${JSON.stringify(error.message)}`);
  const { protocolVersion, serverInfo } = (result ?? {}) as { protocolVersion?: unknown; serverInfo?: unknown };
  const protocol = LEGACY_REVISIONS.find((each) => each === protocolVersion);
  if (protocol === undefined) {
    const version = JSON.stringify(protocolVersion);
    throw new AppError("unavailable", `the server speaks MCP ${version}, which is not supported`);
  }
  wire.speak("legacy", protocol);
  wire.notify("notifications/initialized");
  wire.listen();
  return { era: "legacy", protocol, serverInfo: JSON.stringify(serverInfo ?? {}), ...offerOf(frame) };
}

function offerOf(frame: ResponseFrame): { capabilities: string; instructions: string } {
  const { instructions } = (frame.result ?? {}) as { instructions?: unknown };
  return {
    capabilities: resultMember(frame, "capabilities") ?? "{}",
    instructions: typeof instructions === "string" ? instructions.slice(0, INSTRUCTIONS_MAX_CHARS) : "",
  };
}
