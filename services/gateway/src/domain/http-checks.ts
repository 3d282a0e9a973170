import { AppError } from "@tollgate/errors";
import {
  LEGACY_REVISIONS,
  MODERN_REVISION,
  type NotificationFrame,
  PROTOCOL_VERSION_KEY,
  CLIENT_CAPABILITIES_KEY,
  type RequestFrame,
  RPC,
  SUPPORTED_REVISIONS,
} from "@tollgate/mcp";

/** A refusal with the HTTP status and JSON-RPC error that the MCP transport demands. */
export interface Refusal {
  readonly status: number;
  readonly code: number;
  readonly message: string;
  readonly data?: Readonly<Record<string, unknown>>;
}

type Headers = Readonly<Record<string, string | string[] | undefined>>;

const LOCAL_HOSTS = new Set(["localhost", "127.0.0.1", "[::1]"]);

/** Browsers send Origin: a page of another site must not reach a gateway on this machine (DNS rebinding). */
export function isOriginAllowed(origin: string | undefined, allowed: readonly string[]): boolean {
  if (origin === undefined) return true;
  if (allowed.includes(origin)) return true;
  try {
    return LOCAL_HOSTS.has(new URL(origin).hostname);
  } catch {
    return false;
  }
}

/** MCP 2025-11-25, Streamable HTTP: a client accepts both JSON and an event stream. */
export function checkLegacyAccept(headers: Headers): Refusal | undefined {
  const accept = String(headers["accept"] ?? "");
  if (accepts(accept, "application/json") && accepts(accept, "text/event-stream")) return undefined;
  return {
    status: 406,
    code: RPC.invalidRequest,
    message: "Accept has to name application/json and text/event-stream",
  };
}

function accepts(accept: string, type: string): boolean {
  const family = `${type.slice(0, type.indexOf("/"))}/*`;
  return accept.split(",").some((each) => {
    const name = each.split(";")[0]!.trim().toLowerCase();
    return name === type || name === family || name === "*/*";
  });
}

/** A legacy request may name its revision in a header; one that is unknown is refused, none is accepted. */
export function checkLegacyVersion(headers: Headers): Refusal | undefined {
  const version = headers["mcp-protocol-version"];
  if (version === undefined || LEGACY_REVISIONS.some((each) => each === version)) return undefined;
  return {
    status: 400,
    code: RPC.invalidRequest,
    message: `MCP-Protocol-Version ${String(version)} is not supported; supported: ${SUPPORTED_REVISIONS.join(", ")}`,
  };
}

/** MCP 2026-07-28: the envelope in `_meta`, and the headers that repeat it for whoever routes by them. */
export function checkModern(frame: RequestFrame | NotificationFrame, headers: Headers): Refusal | undefined {
  const meta = (frame.params?.["_meta"] ?? {}) as Record<string, unknown>;
  const version = meta[PROTOCOL_VERSION_KEY];
  if (version === undefined || typeof meta[CLIENT_CAPABILITIES_KEY] !== "object") {
    const missing = `params._meta needs ${PROTOCOL_VERSION_KEY} and ${CLIENT_CAPABILITIES_KEY}`;
    return { status: 400, code: RPC.invalidParams, message: missing };
  }
  if (version !== MODERN_REVISION) {
    return {
      status: 400,
      code: RPC.unsupportedProtocolVersion,
      message: `protocol version ${JSON.stringify(version)} is not supported`,
      data: { supported: [MODERN_REVISION], requested: version },
    };
  }
  return (
    mismatch(headers, "mcp-protocol-version", "MCP-Protocol-Version", version) ??
    mismatch(headers, "mcp-method", "Mcp-Method", frame.method) ??
    (frame.method === "tools/call" ? mismatch(headers, "mcp-name", "Mcp-Name", frame.params?.["name"]) : undefined)
  );
}

function mismatch(headers: Headers, key: string, name: string, expected: unknown): Refusal | undefined {
  const given = headers[key];
  if (typeof given === "string" && decodeHeader(given) === expected) return undefined;
  const problem = given === undefined ? "is missing" : `is ${JSON.stringify(given)}`;
  return {
    status: 400,
    code: RPC.headerMismatch,
    message: `the header ${name} ${problem}, the body says ${JSON.stringify(expected)}`,
  };
}

const ENCODED = /^=\?base64\?([A-Za-z0-9+/=]*)\?=$/;

/** Values that a header cannot carry come as base64 of their UTF-8. */
function decodeHeader(value: string): string {
  const encoded = ENCODED.exec(value)?.[1];
  return encoded === undefined ? value : Buffer.from(encoded, "base64").toString("utf8");
}

const BEARER = /^Bearer ([\x21-\x7e]{1,8192})$/i;

/** @throws {AppError} `unauthenticated`, saying what to send */
export function bearerToken(authorization: string | undefined): string {
  const token = BEARER.exec(authorization ?? "")?.[1];
  if (token !== undefined) return token;
  const problem = authorization === undefined ? "no token was sent" : "the Authorization header holds no bearer token";
  throw new AppError("unauthenticated", `${problem}; send "Authorization: Bearer <token>"`);
}
