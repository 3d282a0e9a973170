import { Metadata, type ServiceError, status } from "@grpc/grpc-js";
import { AppError, ERROR_CODES, type ErrorCode } from "./app-error.ts";

interface Mapping {
  readonly http: number;
  readonly grpc: status;
  /** JSON-RPC 2.0 section 5.1; -32000 to -32019 are the implementation's own in MCP 2026-07-28. */
  readonly rpc: number;
  readonly title: string;
}

const MAPPINGS: Readonly<Record<ErrorCode, Mapping>> = {
  invalid_argument: { http: 400, grpc: status.INVALID_ARGUMENT, rpc: -32602, title: "Invalid argument" },
  unauthenticated: { http: 401, grpc: status.UNAUTHENTICATED, rpc: -32001, title: "Unauthenticated" },
  permission_denied: { http: 403, grpc: status.PERMISSION_DENIED, rpc: -32003, title: "Permission denied" },
  not_found: { http: 404, grpc: status.NOT_FOUND, rpc: -32602, title: "Not found" },
  method_not_found: { http: 404, grpc: status.UNIMPLEMENTED, rpc: -32601, title: "Method not found" },
  already_exists: { http: 409, grpc: status.ALREADY_EXISTS, rpc: -32602, title: "Already exists" },
  failed_precondition: { http: 409, grpc: status.FAILED_PRECONDITION, rpc: -32602, title: "Failed precondition" },
  payload_too_large: { http: 413, grpc: status.OUT_OF_RANGE, rpc: -32600, title: "Payload too large" },
  overloaded: { http: 429, grpc: status.RESOURCE_EXHAUSTED, rpc: -32005, title: "Overloaded" },
  cancelled: { http: 499, grpc: status.CANCELLED, rpc: -32006, title: "Cancelled" },
  deadline_exceeded: { http: 504, grpc: status.DEADLINE_EXCEEDED, rpc: -32007, title: "Deadline exceeded" },
  unavailable: { http: 503, grpc: status.UNAVAILABLE, rpc: -32008, title: "Unavailable" },
  outcome_unknown: { http: 502, grpc: status.ABORTED, rpc: -32009, title: "Outcome unknown" },
  internal: { http: 500, grpc: status.INTERNAL, rpc: -32603, title: "Internal error" },
};

export function httpStatus(code: ErrorCode): number {
  return MAPPINGS[code].http;
}

export function rpcCode(code: ErrorCode): number {
  return MAPPINGS[code].rpc;
}

/** RFC 9457 problem details. `code` is stable; `detail` is for people. */
export interface Problem {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly code: ErrorCode;
  readonly detail: string;
  readonly [extension: string]: unknown;
}

export function toProblem(error: AppError): Problem {
  const { http, title } = MAPPINGS[error.code];
  return { ...error.details, type: "about:blank", title, status: http, code: error.code, detail: error.message };
}

/** The `error` member of a JSON-RPC response. */
export function toRpcError(error: AppError): { code: number; message: string; data: Record<string, unknown> } {
  return {
    code: rpcCode(error.code),
    message: error.message,
    data: { ...error.details, code: error.code, retryable: error.retryable },
  };
}

const CODE_KEY = "tollgate-code";
const DETAILS_KEY = "tollgate-details-bin";
/** More than fits beside the message is left out: the message says what is wrong, details only help with it. */
const GRPC_DETAILS_MAX_BYTES = 8_192;
/** The message travels percent-encoded in a header, of which HTTP/2 peers take 64 KiB in all. */
const GRPC_MESSAGE_MAX_CHARS = 4_000;

/** What a gRPC handler gives back: code and details travel in the metadata, so that the client rebuilds the same AppError. */
export function grpcStatus(error: AppError): { code: status; details: string; metadata: Metadata } {
  const metadata = new Metadata();
  metadata.set(CODE_KEY, error.code);
  const extra = Buffer.from(JSON.stringify(error.details));
  if (Object.keys(error.details).length > 0 && extra.length <= GRPC_DETAILS_MAX_BYTES) metadata.set(DETAILS_KEY, extra);
  // Half a character, as cutting leaves it, cannot be encoded: the server would throw while it answers.
  const details = error.message.slice(0, GRPC_MESSAGE_MAX_CHARS).toWellFormed();
  return { code: MAPPINGS[error.code].grpc, details, metadata };
}

/** A gRPC client's error as an AppError; without our own code it is the transport's word, and so `unavailable`. */
export function fromGrpc(error: ServiceError, service: string): AppError {
  const code = error.metadata?.get(CODE_KEY)[0];
  const known = ERROR_CODES.find((each) => each === code);
  if (known) return new AppError(known, error.details, { cause: error, details: detailsIn(error.metadata) });
  if (error.code === status.DEADLINE_EXCEEDED)
    return new AppError("deadline_exceeded", `${service} did not answer in time`, { cause: error, retryable: true });
  return new AppError("unavailable", `${service} cannot be reached: ${error.details}`, { cause: error });
}

/** Only another service of ours writes them: they come with one of our codes. */
function detailsIn(metadata: Metadata): Record<string, unknown> {
  const [given] = metadata.get(DETAILS_KEY);
  return given === undefined ? {} : (JSON.parse(given.toString()) as Record<string, unknown>);
}
