import { AppError } from "@tollgate/errors";
import {
  decodeHeader,
  LEGACY_REVISIONS,
  MODERN_REVISION,
  type NotificationFrame,
  paramValue,
  PROTOCOL_VERSION_KEY,
  CLIENT_CAPABILITIES_KEY,
  type RequestFrame,
  RPC,
  SUPPORTED_REVISIONS,
} from "@tollgate/mcp";
import type { Item } from "./catalogue.ts";

/** A refusal with the HTTP status and JSON-RPC error that the MCP transport demands. */
export interface Refusal {
  readonly status: number;
  readonly code: number;
  readonly message: string;
  readonly data?: Readonly<Record<string, unknown>>;
  /** What `WWW-Authenticate` says. */
  readonly challenge?: string;
}

type Headers = Readonly<Record<string, string | string[] | undefined>>;

const TASKS_EXTENSION = "io.modelcontextprotocol/tasks";
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
  const { accept } = headers;
  if (accepts(accept, "application/json") && accepts(accept, "text/event-stream")) return undefined;
  return {
    status: 406,
    code: RPC.invalidRequest,
    message: "Accept has to name application/json and text/event-stream",
  };
}

export function accepts(accept: string | string[] | undefined, type: string): boolean {
  const family = `${type.slice(0, type.indexOf("/"))}/*`;
  return String(accept ?? "")
    .split(",")
    .some((each) => {
      const name = each.split(";")[0]!.trim().toLowerCase();
      return name === type || name === family || name === "*/*";
    });
}

/** A client that names the event stream first gets one, whatever it has asked for. */
export function prefersStream({ accept }: Headers): boolean {
  const types = String(accept ?? "").toLowerCase();
  const stream = types.indexOf("text/event-stream");
  if (stream < 0) return false;
  const json = types.indexOf("application/json");
  return json < 0 || stream < json;
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

interface HeaderName {
  /** As Node gives it. */
  readonly key: string;
  readonly name: string;
}
const VERSION_HEADER: HeaderName = { key: "mcp-protocol-version", name: "MCP-Protocol-Version" };
const METHOD_HEADER: HeaderName = { key: "mcp-method", name: "Mcp-Method" };
const NAME_HEADER: HeaderName = { key: "mcp-name", name: "Mcp-Name" };

/** The member of `params` that the header Mcp-Name repeats. */
const NAMED_BY: Readonly<Record<string, string>> = {
  "tools/call": "name",
  "prompts/get": "name",
  "resources/read": "uri",
  "tasks/get": "taskId",
  "tasks/update": "taskId",
  "tasks/cancel": "taskId",
};

/**
 * MCP 2026-07-28: the envelope in `_meta`, and over HTTP the headers that repeat the body for whoever routes by them.
 * That a header and the body differ is said before what is wrong with either.
 */
export function checkModern(
  frame: RequestFrame | NotificationFrame,
  headers: Headers | undefined,
): Refusal | undefined {
  const meta = (frame.params?.["_meta"] ?? {}) as Record<string, unknown>;
  const version = meta[PROTOCOL_VERSION_KEY];
  const capabilities = meta[CLIENT_CAPABILITIES_KEY];
  if (version === undefined || typeof capabilities !== "object" || capabilities === null) {
    const missing = `params._meta needs ${PROTOCOL_VERSION_KEY} and ${CLIENT_CAPABILITIES_KEY}`;
    return { status: 400, code: RPC.invalidParams, message: missing };
  }
  return (
    (headers && mismatch(headers, VERSION_HEADER, version)) ??
    checkVersion(version) ??
    (headers && checkNames(frame, headers)) ??
    checkTasks(frame, capabilities)
  );
}

function checkVersion(version: unknown): Refusal | undefined {
  if (version === MODERN_REVISION) return undefined;
  return {
    status: 400,
    code: RPC.unsupportedProtocolVersion,
    message: `protocol version ${JSON.stringify(version)} is not supported`,
    data: { supported: [MODERN_REVISION], requested: version },
  };
}

function checkNames(frame: RequestFrame | NotificationFrame, headers: Headers): Refusal | undefined {
  const named = Object.hasOwn(NAMED_BY, frame.method) ? NAMED_BY[frame.method]! : undefined;
  return (
    mismatch(headers, METHOD_HEADER, frame.method) ??
    (named === undefined ? undefined : mismatch(headers, NAME_HEADER, frame.params?.[named]))
  );
}

/** Tasks are an extension: only a client that has declared it may ask for them. */
function checkTasks({ method }: { readonly method: string }, capabilities: object): Refusal | undefined {
  if (!method.startsWith("tasks/")) return undefined;
  const { extensions } = capabilities as { extensions?: unknown };
  if (typeof extensions === "object" && extensions !== null && TASKS_EXTENSION in extensions) return undefined;
  return {
    status: 400,
    code: RPC.missingClientCapability,
    message: `${method} needs the client capability extensions["${TASKS_EXTENSION}"]`,
    data: { requiredCapabilities: { extensions: { [TASKS_EXTENSION]: {} } } },
  };
}

/** A tool's arguments that are marked with `x-mcp-header` stand in headers as well, and say the same there. */
export function checkParamHeaders(item: Item, frame: RequestFrame, headers: Headers): Refusal | undefined {
  for (const { header, path } of item.paramHeaders) {
    const value = paramValue(frame.params?.["arguments"], path);
    const given = headers[header];
    if (value === undefined && given === undefined) continue;
    const decoded = typeof given === "string" ? decodeHeader(given) : undefined;
    // 42 and 42.0 are the same integer.
    const same = decoded === value || (isNumber(decoded) && isNumber(value) && Number(decoded) === Number(value));
    if (!same) return headerMismatch(header, given, value);
  }
  return undefined;
}

function isNumber(text: string | undefined): boolean {
  return text !== undefined && /^-?\d+(\.\d+)?$/.test(text);
}

function mismatch(headers: Headers, { key, name }: HeaderName, expected: unknown): Refusal | undefined {
  const given = headers[key];
  if (typeof given === "string" && decodeHeader(given) === expected) return undefined;
  return headerMismatch(name, given, expected);
}

function headerMismatch(name: string, given: string | string[] | undefined, expected: unknown): Refusal {
  const problem = given === undefined ? "is missing" : `is ${JSON.stringify(given)}`;
  const body = expected === undefined ? "the body has no such value" : `the body says ${JSON.stringify(expected)}`;
  return { status: 400, code: RPC.headerMismatch, message: `the header ${name} ${problem}, ${body}` };
}

const BEARER = /^Bearer ([\x21-\x7e]{1,8192})$/i;

/** @throws {AppError} `unauthenticated`, saying what to send */
export function bearerToken(authorization: string | undefined): string {
  const token = BEARER.exec(authorization ?? "")?.[1];
  if (token !== undefined) return token;
  const problem = authorization === undefined ? "no token was sent" : "the Authorization header holds no bearer token";
  throw new AppError("unauthenticated", `${problem}; send "Authorization: Bearer <token>"`);
}
