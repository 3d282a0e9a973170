import { auditV1 } from "@tollgate/contracts";
import { callUnary } from "@tollgate/service";
import { type ApiOptions, TIMEOUT_MS } from "./api-options.ts";

/** Which events: newest first, those after `cursor`. */
export interface AuditPageQuery {
  readonly filter: Partial<auditV1.EventFilter>;
  readonly id?: string;
  /** 0: as many as audit takes for a page. */
  readonly pageSize?: number;
  readonly cursor?: string;
}

/**
 * A page of the record, its events as they are on the stream. It may be short and yet not the last one.
 * @throws {AppError} invalid_argument, naming the filter; unavailable
 */
export function readAuditPage(
  { clients: { audit }, metadata }: Pick<ApiOptions, "clients" | "metadata">,
  { filter, id = "", pageSize = 0, cursor = "" }: AuditPageQuery,
): Promise<auditV1.ListEventsResponse> {
  const asked = { filter: { ...auditV1.EventFilter.create(), ...filter }, id, pageSize, cursor };
  return callUnary(audit.listEvents.bind(audit), asked, { metadata, timeoutMs: TIMEOUT_MS, service: "audit" });
}
