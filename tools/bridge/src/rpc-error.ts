/** The JSON-RPC errors that the bridge itself answers with. The codes are the same as the gateway's. */
const RPC_CODES = {
  parse_error: -32700,
  invalid_request: -32600,
  payload_too_large: -32600,
  not_found: -32602,
  internal: -32603,
  unauthenticated: -32001,
  permission_denied: -32003,
  overloaded: -32005,
  deadline_exceeded: -32007,
  unavailable: -32008,
  outcome_unknown: -32009,
} as const;
export type FailureCode = keyof typeof RPC_CODES;

export interface Failure {
  readonly code: FailureCode;
  /** For the person at the client: what happened and what to do. */
  readonly message: string;
  /** Whether the client may send the same request again and be sure that nothing runs twice. */
  readonly retryable: boolean;
  /** The gateway's own `error` member, where its body had one but not this request's id. */
  readonly original?: RpcError;
}

export interface RpcError {
  readonly code: number;
  readonly message: string;
  readonly data?: unknown;
}

export function failure(code: FailureCode, message: string, retryable = false): Failure {
  return { code, message, retryable };
}

/** One line for stdout. `rawId` is the id as the client spelled it: a parsed number could come back changed. */
export function errorLine(rawId: string, reason: Failure): string {
  const error = reason.original ?? {
    code: RPC_CODES[reason.code],
    message: reason.message,
    data: { code: reason.code, retryable: reason.retryable },
  };
  return `{"jsonrpc":"2.0","id":${rawId},"error":${JSON.stringify(error)}}`;
}

/** The `error` member of a parsed JSON-RPC response, if it has a proper one. */
export function rpcErrorOf(message: unknown): RpcError | undefined {
  const error = isObject(message) ? message["error"] : undefined;
  if (!isObject(error)) return undefined;
  const { code, message: text } = error;
  return typeof code === "number" && typeof text === "string" ? { ...error, code, message: text } : undefined;
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
