import { type Connector, type ConnectorOperation, readExactly, toolsOf } from "@tollgate/connectors";
import { AppError, toAppError, toRpcError } from "@tollgate/errors";
import { findMembers, MODERN_REVISION, RPC, SERVER_INFO_KEY } from "@tollgate/mcp";
import type { Log } from "@tollgate/service";
import type { ApiClient } from "./api-client.ts";
import { runCall } from "./connector-call.ts";
import { RequestFailure } from "./request-failure.ts";
import type { Outgoing, OutgoingCall, Transport, TransportEvents } from "./transport.ts";

export interface ConnectorTransportOptions {
  readonly connector: Connector;
  /** Shared by all connections of the connector: its rate and its token are one. */
  readonly client: ApiClient;
  readonly name: string;
  /** Of an answer, and of the result that is made of it. */
  readonly outputMaxBytes: number;
  readonly events: TransportEvents;
  readonly log: Log;
}

/**
 * A server of MCP (2026-07-28) that is no other program: its tools are an API's operations. Requests are answered here,
 * and for tools/call the API is asked. It holds nothing between two calls.
 */
export class ConnectorTransport implements Transport {
  readonly pid = 0;
  readonly #options: ConnectorTransportOptions;
  readonly #operations: ReadonlyMap<string, ConnectorOperation>;
  readonly #calls = new Map<number, AbortController>();
  #over = false;

  constructor(options: ConnectorTransportOptions) {
    this.#options = options;
    this.#operations = new Map(options.connector.operations.map((each) => [each.name, each]));
  }

  send({ text, frame, call }: Outgoing): void {
    if (this.#over || frame.kind !== "request") return;
    const { id, method } = frame;
    if (method === "tools/call" && call !== undefined) return void this.#call(id, text, call);
    const { connector, name } = this.#options;
    switch (method) {
      case "server/discover":
        return this.#answer(id, JSON.stringify({ ...discovered(name), ...LIST }));
      case "tools/list":
        return this.#answer(id, `{"tools":[${toolsOf(connector).join(",")}],${JSON.stringify(LIST).slice(1)}`);
      default:
        return this.#refuse(id, { code: RPC.methodNotFound, message: `a connector does not know ${method}` });
    }
  }

  abort(id: number): void {
    this.#calls.get(id)?.abort(new AppError("cancelled", "nobody waits for it any more"));
    this.#calls.delete(id);
  }

  tail(): string {
    return "";
  }

  listen(): void {}

  end(): Promise<void> {
    if (this.#over) return Promise.resolve();
    this.#over = true;
    for (const id of this.#calls.keys()) this.abort(id);
    this.#options.events.onEnd("was closed");
    return Promise.resolve();
  }

  async #call(id: number, text: string, call: OutgoingCall): Promise<void> {
    const { connector, client, outputMaxBytes, events, log } = this.#options;
    const { name, args, hasProgress } = paramsOf(text);
    const operation = this.#operations.get(name);
    if (operation === undefined)
      return this.#refuse(id, { code: RPC.invalidParams, message: `there is no tool ${name}` });
    if (args === undefined) return this.#refuse(id, { code: RPC.invalidParams, message: "arguments are no object" });
    const controller = new AbortController();
    this.#calls.set(id, controller);
    let isAnswered = false;
    try {
      const result = await runCall({
        connector,
        client,
        operation,
        args,
        answerMaxBytes: outputMaxBytes,
        call,
        signal: controller.signal,
        onRequest: () => events.onApiRequest?.(id),
        onReply: () => (isAnswered = true),
        onPage: (pages) => hasProgress && this.#progress(id, pages),
      });
      if (this.#calls.delete(id)) this.#answer(id, result);
    } catch (error) {
      if (!this.#calls.delete(id)) return;
      // An earlier request of the call was taken, whatever became of its last one.
      if (error instanceof RequestFailure)
        return events.onLost(id, error.message, { notDelivered: error.notDelivered && !isAnswered });
      if (!(error instanceof AppError)) log.error({ err: error }, "a call of a connector failed inside the runner");
      this.#refuse(id, toRpcError(toAppError(error)));
    }
  }

  #progress(id: number, progress: number): void {
    if (!this.#calls.has(id)) return;
    const params = { progressToken: id, progress, message: `${progress} ${progress === 1 ? "page" : "pages"}` };
    this.#options.events.onMessage(JSON.stringify({ jsonrpc: "2.0", method: "notifications/progress", params }), id);
  }

  #answer(id: number, result: string): void {
    this.#say(id, `{"jsonrpc":"2.0","id":${id},"result":${result}}`);
  }

  #refuse(id: number, error: object): void {
    this.#say(id, JSON.stringify({ jsonrpc: "2.0", id, error }));
  }

  /** Never within `send`. */
  #say(id: number, text: string): void {
    setImmediate(() => {
      if (!this.#over) this.#options.events.onMessage(text, id);
    });
  }
}

/** Nobody keeps it: a changed connector is another one. */
const LIST = { resultType: "complete", ttlMs: 0, cacheScope: "private" };

function discovered(name: string): Record<string, unknown> {
  const info = { name, version: "1" };
  return { supportedVersions: [MODERN_REVISION], capabilities: { tools: {} }, _meta: { [SERVER_INFO_KEY]: info } };
}

/** Numbers in the arguments as they are spelled. */
function paramsOf(text: string): {
  name: string;
  args: Readonly<Record<string, unknown>> | undefined;
  hasProgress: boolean;
} {
  const params = findMembers(text, 0, ["params"])?.spans["params"];
  const members = params && findMembers(text, params.start, ["name", "arguments", "_meta"]);
  const read = (key: string) => {
    const span = members?.spans[key];
    return span && readExactly(text.slice(span.start, span.end));
  };
  const args = read("arguments") ?? {};
  const isObject = typeof args === "object" && args !== null && !Array.isArray(args);
  const meta = read("_meta") as { progressToken?: unknown } | undefined;
  return {
    name: String(read("name")),
    args: isObject ? (args as Readonly<Record<string, unknown>>) : undefined,
    hasProgress: meta?.progressToken !== undefined,
  };
}
