import type { Connector, ConnectorOperation } from "@tollgate/connectors";
import { shareOf } from "@tollgate/fair-queue";
import { type PetsApi, startPetsApi, testLog } from "@tollgate/testkit";
import { afterAll, afterEach, beforeEach } from "vitest";
import { type ApiClient, createApiClient } from "../src/upstream/api-client.ts";
import { ConnectorTransport } from "../src/upstream/connector-transport.ts";
import type { OutgoingCall } from "../src/upstream/transport.ts";
import { type Answer, openWire, type Wire } from "../src/upstream/wire.ts";

const OUTPUT_MAX_BYTES = 100_000;

export const CALL: OutgoingCall = { id: "call-1", share: shareOf("t") };

export function operation(fields: Partial<ConnectorOperation> & Pick<ConnectorOperation, "path">): ConnectorOperation {
  const { method = "GET" } = fields;
  return {
    name: "call",
    description: "",
    method,
    parameters: [],
    inputSchema: { type: "object" },
    annotations: { readOnlyHint: method === "GET" },
    ...fields,
  };
}

interface Opened {
  readonly wire: Wire;
  readonly progress: number[];
  /** A call that nobody answers is an error, with whether the API may have got it. */
  call(this: void, args?: object, options?: CallOptions): Promise<any>;
}

interface CallOptions {
  readonly tool?: string;
  readonly meta?: object;
  readonly id?: string;
  readonly tenant?: string;
}

export interface Connectors {
  readonly api: PetsApi;
  open(this: void, fields: Partial<Connector>): Opened;
  /** With one operation. */
  one(this: void, path: string, fields?: Partial<ConnectorOperation>, rest?: Partial<Connector>): Opened;
  /** That the API was asked for. */
  paths(this: void): string[];
}

/** Connectors of an API that is really there. */
export async function useConnectors(): Promise<Connectors> {
  const api = await startPetsApi();
  const clients: ApiClient[] = [];
  beforeEach(() => {
    api.requests.length = 0;
    api.tokens.length = 0;
    api.abandoned.length = 0;
    api.failures = 0;
  });
  afterEach(() => {
    for (const client of clients.splice(0)) client.close();
  });
  afterAll(() => api.close());

  function connector(fields: Partial<Connector> = {}): Connector {
    return {
      baseUrl: api.url,
      operations: [],
      auth: { type: "none" },
      headers: {},
      timeoutMs: 5_000,
      retry: { attempts: 3, backoffMs: 1, statuses: [503] },
      pagination: { style: "none" },
      result: { pick: "", schema: false },
      ca: "",
      ...fields,
    };
  }

  function open(fields: Partial<Connector>): Opened {
    const whole = connector(fields);
    const client = createApiClient(whole);
    clients.push(client);
    const progress: number[] = [];
    const wire = openWire({
      log: testLog,
      events: {
        onRequest: () => undefined,
        onNotification: ({ params }) => void progress.push(params?.["progress"] as number),
        onEnd: () => undefined,
      },
      open: (events) =>
        new ConnectorTransport({
          connector: whole,
          client,
          name: "pets",
          outputMaxBytes: OUTPUT_MAX_BYTES,
          events,
          log: testLog,
        }),
    });
    return {
      wire,
      progress,
      async call(args = {}, { tool = "call", meta = {}, id = "call-1", tenant = "t" } = {}) {
        const params = { name: tool, arguments: args, _meta: meta };
        const answer = await send(wire, params, { id, share: shareOf(tenant) });
        if (answer.kind === "lost") throw Object.assign(new Error(answer.reason), answer);
        const { result, error } = answer.frame;
        return result ?? { error };
      },
    };
  }

  return {
    api,
    open,
    one: (path, fields = {}, rest = {}) => open({ operations: [operation({ path, ...fields })], ...rest }),
    paths: () => api.requests.map(({ path }) => path),
  };
}

export function send(wire: Wire, params: object, call: OutgoingCall): Promise<Answer> {
  const id = wire.newId();
  const text = JSON.stringify({ jsonrpc: "2.0", id, method: "tools/call", params });
  return new Promise((resolve) => wire.send({ id, text, method: "tools/call", params: undefined, call }, resolve));
}

export const textOf = ({ content }: any): string => content[0].text;
