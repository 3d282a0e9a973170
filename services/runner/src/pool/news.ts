import type { ServerEvent } from "@tollgate/contracts";

/** What becomes of a server's processes and connections, for the record. */
export interface ServerNews {
  /** @param tenant whose process it is; undefined, or empty, where it is nobody's or everybody's */
  tell(state: ServerEvent["state"], tenant: string | undefined, reason?: string): void;
  /** One is about to be started, or connected, with the server's secrets. */
  secretsRead(tenant: string | undefined): void;
}
