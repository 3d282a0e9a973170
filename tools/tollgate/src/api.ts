import type { Readable } from "node:stream";
import { AppError, ERROR_CODES, type ErrorCode } from "@tollgate/errors";
import { askGateway, type Gateway, openGateway, textOf } from "./gateway-http.ts";
import type { Row } from "./table.ts";

const REQUEST_TIMEOUT_MS = 30_000;
/** Of one request for a list; some give fewer. */
const PAGE_MAX = 500;

export type Query = Readonly<Record<string, string | number | boolean | undefined>>;

/** A page, or several that were put together: what else the API says beside the items is that of the first. */
export interface Listed extends Row {
  readonly items: readonly Row[];
  readonly nextCursor?: string | null;
}

export interface Sending {
  readonly body?: unknown;
  readonly query?: Query | undefined;
  readonly headers?: Readonly<Record<string, string>>;
  readonly timeoutMs?: number;
}

export interface Listing {
  readonly query?: Query;
  readonly limit: number;
  readonly pageMax?: number;
  /** Of each page. */
  readonly timeoutMs?: number;
}

/** The management API of a gateway. What it refuses is thrown, with the problem in `details`. */
export interface Api {
  readonly url: string;
  get(path: string, query?: Query): Promise<Row>;
  /** The answer; an empty one is `{}`. */
  send(method: string, path: string, sending?: Sending): Promise<Row>;
  /** Pages through the list until it has `limit` items. */
  list(path: string, options: Listing): Promise<Listed>;
  /** An answer that takes its time. */
  open(
    path: string,
    options: { query?: Query; headers?: Record<string, string>; signal: AbortSignal },
  ): Promise<Readable>;
}

/** Who asks the API, and where. */
export interface ApiTarget extends Gateway {
  readonly token: string;
}

export function openApi({ token, ...gateway }: ApiTarget): Api {
  const authorization = `Bearer ${token}`;

  async function send(method: string, path: string, sending: Sending = {}): Promise<Row> {
    const { body, query, headers, timeoutMs = REQUEST_TIMEOUT_MS } = sending;
    const answer = await atGateway(gateway.url, () =>
      askGateway(gateway, `${path}${searchOf(query)}`, {
        method,
        headers: { authorization, ...(body === undefined ? {} : { "content-type": "application/json" }), ...headers },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        signal: AbortSignal.timeout(timeoutMs),
      }),
    );
    if (answer.status >= 300) throw refusal(answer, { method, path });
    return answer.text === "" ? {} : (JSON.parse(answer.text) as Row);
  }

  return {
    url: gateway.url,
    get: (path, query) => send("GET", path, { query }),
    send,
    async list(path, { query = {}, limit, pageMax = PAGE_MAX, timeoutMs = REQUEST_TIMEOUT_MS }) {
      let first: Listed | undefined;
      const items: Row[] = [];
      let cursor: string | null | undefined;
      do {
        const page = { limit: Math.min(pageMax, limit - items.length), cursor };
        const answer = (await send("GET", path, { query: { ...query, ...without(page) }, timeoutMs })) as Listed;
        first ??= answer;
        items.push(...answer.items);
        cursor = answer.nextCursor;
      } while (cursor !== null && cursor !== undefined && items.length < limit);
      return { ...first, items: items.slice(0, limit), ...(cursor === undefined ? {} : { nextCursor: cursor }) };
    },
    async open(path, { query, headers, signal }) {
      const answer = await atGateway(gateway.url, () =>
        openGateway(gateway, `${path}${searchOf(query)}`, {
          method: "GET",
          headers: { authorization, ...headers },
          signal,
        }),
      );
      if (answer.status < 300) return answer.body;
      throw refusal({ ...answer, text: await textOf(answer.body) }, { method: "GET", path });
    },
  };
}

function searchOf(query: Query = {}): string {
  const given = Object.entries(query).flatMap(([key, value]) => (value === undefined ? [] : [[key, String(value)]]));
  return given.length === 0 ? "" : `?${new URLSearchParams(given as [string, string][]).toString()}`;
}

function without(page: { limit: number; cursor: string | null | undefined }): Query {
  return { limit: page.limit, ...(page.cursor ? { cursor: page.cursor } : {}) };
}

/** What the API refuses, as it says it; `details.request` is what was asked for. */
function refusal(answer: { status: number; text: string }, request: { method: string; path: string }): AppError {
  const problem = problemIn(answer.text);
  const code = ERROR_CODES.find((each) => each === problem["code"]) ?? codeOf(answer.status);
  const { detail, reasons } = problem;
  const otherwise = `${request.method} ${request.path} was answered with ${answer.status}`;
  const unready = reasons === undefined ? otherwise : `the gateway is not ready: ${JSON.stringify(reasons)}`;
  const message = typeof detail === "string" ? detail : unready;
  return new AppError(code, message, { details: { ...problem, status: answer.status, request } });
}

/** Of an answer that is no problem of ours, such as that of a proxy or of an older gateway. */
function codeOf(status: number): ErrorCode {
  if (status === 401) return "unauthenticated";
  if (status === 403) return "permission_denied";
  if (status === 404) return "method_not_found";
  return status < 500 ? "invalid_argument" : "unavailable";
}

function problemIn(text: string): Row {
  try {
    const parsed: unknown = JSON.parse(text);
    return typeof parsed === "object" && parsed !== null ? (parsed as Row) : {};
  } catch {
    return {};
  }
}

/** Runs `work`, and says it in words when nobody listens there. */
async function atGateway<T>(url: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const { name, cause } = error as Error;
    const details = { gateway: url };
    if (name === "TimeoutError")
      throw new AppError("deadline_exceeded", `${url} did not answer in time`, { cause: error, details });
    // What fetch throws when nobody listens.
    if (!(error instanceof TypeError)) throw error;
    const reason = (cause as NodeJS.ErrnoException | undefined)?.code ?? (cause as Error | undefined)?.message;
    const why = reason === undefined || reason === "ECONNREFUSED" ? "" : ` (${reason})`;
    throw new AppError("unavailable", `nobody answers at ${url}${why}`, {
      cause: error,
      details: { ...details, reason },
    });
  }
}
