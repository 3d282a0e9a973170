import { auditV1 } from "@tollgate/contracts";
import { callUnary, type Life, openGrpcClient, serviceMetadata } from "@tollgate/service";

type Fields = Partial<Omit<auditV1.ListEventsRequest, "filter"> & auditV1.EventFilter>;

/** ListEvents of an audit service, as the gateway calls it. */
export function openAuditClient(options: { port: number; serviceKey: string; life: Life }) {
  const { port, serviceKey, life } = options;
  const client = openGrpcClient(auditV1.AuditServiceClient, { address: `127.0.0.1:${port}`, name: "audit", life });
  const metadata = serviceMetadata(serviceKey);

  const list = (fields: Fields): Promise<auditV1.ListEventsResponse> =>
    callUnary(
      client.listEvents.bind(client),
      {
        ...auditV1.ListEventsRequest.create(),
        ...fields,
        filter: { ...auditV1.EventFilter.create(), ...fields },
      },
      {
        metadata,
        timeoutMs: 10_000,
        service: "audit",
      },
    );

  /** Follows the cursors to the end. */
  async function listAll(fields: Fields): Promise<{ events: string[]; pages: number }> {
    const events: string[] = [];
    let cursor = "";
    for (let pages = 1; ; pages++) {
      const page = await list({ ...fields, cursor });
      events.push(...page.events);
      if (page.nextCursor === "") return { events, pages };
      cursor = page.nextCursor;
    }
  }

  return { list, listAll };
}
