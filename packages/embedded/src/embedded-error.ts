/** Codes from the closed set of @tollgate/errors; this package depends on nothing, so that it can run before anything is built. */
export type EmbeddedErrorCode =
  | "already_exists"
  | "cancelled"
  | "deadline_exceeded"
  | "failed_precondition"
  | "invalid_argument"
  | "unavailable";

/** What a start throws on purpose: its message says what is wrong and what to do, for the person at the terminal. */
export class EmbeddedError extends Error {
  readonly code: EmbeddedErrorCode;
  readonly details: Readonly<Record<string, unknown>>;

  constructor(
    code: EmbeddedErrorCode,
    message: string,
    options: {
      readonly cause?: unknown;
      readonly details?: Readonly<Record<string, unknown>>;
    } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "EmbeddedError";
    this.code = code;
    this.details = options.details ?? {};
  }
}

/** The `code` of a system error (ENOENT, EACCES …), if it is one. */
export function systemCode(error: unknown): string | undefined {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : undefined;
}
