import {
  answerResult,
  type ApiRequest,
  buildRequest,
  type Connector,
  type ConnectorOperation,
  errorResult,
  isRepeatable,
  joinedResult,
  joinPages,
  type PagePlan,
  planPages,
  readExactly,
  valueAt,
} from "@tollgate/connectors";
import { AppError } from "@tollgate/errors";
import type { ApiClient } from "./api-client.ts";
import type { ApiReply } from "./api-exchange.ts";
import type { OutgoingCall } from "./transport.ts";

export interface ConnectorCall {
  readonly connector: Connector;
  readonly client: ApiClient;
  readonly operation: ConnectorOperation;
  readonly args: Readonly<Record<string, unknown>>;
  /** Of all that the API answers, and of the result. */
  readonly answerMaxBytes: number;
  readonly call: OutgoingCall;
  readonly signal: AbortSignal;
  /** Before each request to the API. */
  readonly onRequest: () => void;
  /** The API has taken a request. */
  readonly onReply: () => void;
  /** There are so many pages by now. */
  readonly onPage: (pages: number) => void;
}

/**
 * A tool's result as JSON.
 * @throws {RequestFailure} when the API gave no answer to the last request
 * @throws {AppError} `overloaded`; the reason of `signal`
 */
export async function runCall(call: ConnectorCall): Promise<string> {
  const { connector, client, operation, args } = call;
  const base = new URL(connector.baseUrl);
  const built = buildRequest(operation, args, {
    basePath: base.pathname.replace(/\/+$/, ""),
    reserved: connector.auth.type === "api_key" && connector.auth.in === "query" ? [connector.auth.name] : [],
    idempotencyKey: call.call.id,
  });
  if (!built.ok) return errorResult(built.reason);
  const plan = planPages(operation, args, connector.pagination);
  try {
    const result = plan === undefined ? await single(call, built.value) : await paged(call, built.value, plan);
    const bytes = Buffer.byteLength(result);
    if (bytes <= call.answerMaxBytes) return client.hide(result);
    return errorResult(
      `the result has ${bytes} bytes, and may have ${call.answerMaxBytes} (limits.output_mb): ask for less of it`,
    );
  } catch (error) {
    if (error instanceof AppError && error.code === "payload_too_large")
      return errorResult(`${error.message} (limits.output_mb): ask for less of it`);
    throw error;
  }
}

async function single(call: ConnectorCall, request: ApiRequest): Promise<string> {
  return answerResult(await ask(call, request, call.answerMaxBytes), optionsOf(call));
}

function ask(
  { client, operation, call: { share }, signal, onRequest, onReply }: ConnectorCall,
  request: ApiRequest,
  bodyMaxBytes: number,
): Promise<ApiReply> {
  const repeatable = isRepeatable(operation);
  return client.request(request, { repeatable, bodyMaxBytes, share, signal, onRequest, onReply });
}

const optionsOf = ({ operation, connector: { result } }: ConnectorCall) => ({ operation, result });

/** What is known of a list by now. */
interface Walk {
  readonly items: unknown[];
  readonly listAt: string;
  /** Of the last page. */
  readonly value: unknown;
}

/** Pages until the last one, or until there are enough; a page that fails ends the list, and that is said. */
async function paged(call: ConnectorCall, first: ApiRequest, plan: PagePlan): Promise<string> {
  const start = plan.first(first.path);
  let path = start;
  let walk: Walk | undefined;
  let bytes = 0;
  for (let index = 0; ; index += 1) {
    const reply = await pageOf(call, { ...first, path }, { bytes, isFirst: walk === undefined });
    const value = typeof reply === "string" ? undefined : valueOf(reply);
    const listAt = value === undefined ? undefined : plan.listAt(value);
    if (typeof reply === "string" || listAt === undefined) {
      if (walk === undefined)
        return typeof reply === "string" ? errorResult(reply) : answerResult(reply, optionsOf(call));
      const why = typeof reply === "string" ? reply : `page ${index + 1} could not be read (HTTP ${reply.status})`;
      return joined(call, walk, `There is more: ${why}.`);
    }
    const own = valueAt(value, listAt) as unknown[];
    const items: unknown[] = [...(walk?.items ?? []), ...own];
    // The last page of some lists is an empty one, and says nothing else.
    walk = own.length === 0 && walk !== undefined ? walk : { items, listAt, value };
    bytes += reply.body.length;
    call.onPage(index + 1);
    const page = { value, link: reply.link, items: own.length, itemsSoFar: items.length, index };
    const next = plan.next(page);
    if (next === undefined) return joined(call, walk, "");
    const target = "url" in next.target ? call.client.pathOf(next.target.url, path) : next.target.path(start);
    if (target === undefined) return joined(call, walk, "There is more, at another address, which is not asked.");
    if (index + 1 >= plan.pagesMax) {
      const goOn = next.goOn === "" ? "" : ` To go on, call it with ${next.goOn}.`;
      return joined(call, walk, `There is more: these are the first ${index + 1} pages.${goOn}`);
    }
    path = target;
  }
}

/** A text says why a further page is not to be had. */
async function pageOf(
  call: ConnectorCall,
  request: ApiRequest,
  { bytes, isFirst }: { bytes: number; isFirst: boolean },
): Promise<ApiReply | string> {
  try {
    return await ask(call, request, call.answerMaxBytes - bytes);
  } catch (error) {
    const isTooLarge = error instanceof AppError && error.code === "payload_too_large";
    if (isFirst || !isTooLarge) throw error;
    return `all pages together are larger than ${call.answerMaxBytes} bytes (limits.output_mb)`;
  }
}

function joined(call: ConnectorCall, { items, listAt, value }: Walk, note: string): string {
  return joinedResult(joinPages(value, listAt, items), optionsOf(call), note);
}

/** Undefined where it is no good answer in JSON. */
function valueOf({ status, body }: ApiReply): unknown {
  if (status < 200 || status > 299) return undefined;
  try {
    return readExactly(body.toString("utf8"));
  } catch {
    return undefined;
  }
}
