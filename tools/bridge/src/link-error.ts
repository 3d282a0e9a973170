/** The gateway is there and says nothing. */
export class SilenceError extends Error {}

export class SendError extends Error {
  /** False only when it is certain that nothing reached the gateway: the connection was never made. */
  readonly connected: boolean;

  constructor(cause: Error, connected: boolean) {
    super(reasonOf(cause), { cause });
    this.connected = connected;
  }
}

/** An error in a few words. A name with several addresses fails with an AggregateError, whose own message is empty. */
export function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (error.message !== "") return error.message;
  const first = error instanceof AggregateError ? error.errors[0] : undefined;
  return first instanceof Error ? first.message : "code" in error ? String(error.code) : error.name;
}
