/** The closed set of error codes. Each has one HTTP status, one gRPC status and one JSON-RPC code, in mapping.ts. */
export const ERROR_CODES = [
  "invalid_argument",
  "unauthenticated",
  "permission_denied",
  "not_found",
  "method_not_found",
  "already_exists",
  "failed_precondition",
  "payload_too_large",
  "overloaded",
  "cancelled",
  "deadline_exceeded",
  "unavailable",
  "outcome_unknown",
  "internal",
] as const;
export type ErrorCode = (typeof ERROR_CODES)[number];

export interface AppErrorOptions {
  readonly cause?: unknown;
  /** Whether the same request may succeed later, unchanged. */
  readonly retryable?: boolean;
  /** Shown to the client: never a secret, never another tenant's. */
  readonly details?: Readonly<Record<string, unknown>>;
}

/** The one error that services throw on purpose. Its message is for the person who caused it: what, where, what to do. */
export class AppError extends Error {
  readonly code: ErrorCode;
  readonly retryable: boolean;
  readonly details: Readonly<Record<string, unknown>>;

  constructor(code: ErrorCode, message: string, options: AppErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "AppError";
    this.code = code;
    this.retryable = options.retryable ?? (code === "unavailable" || code === "overloaded");
    this.details = options.details ?? {};
  }
}

/** An error of any origin as an AppError. What was not thrown on purpose keeps its message to the log, not the client. */
export function toAppError(error: unknown): AppError {
  if (error instanceof AppError) return error;
  return new AppError("internal", "internal error; the service's log has the details", { cause: error });
}
