import { setTimeout as sleep } from "node:timers/promises";
import { urlToHttpOptions } from "node:url";
import type { ApiRequest, Connector } from "@tollgate/connectors";
import type { Share } from "@tollgate/fair-queue";
import { type ApiReply, exchange } from "./api-exchange.ts";
import { createAuthorizer, type PostForm } from "./connector-auth.ts";
import { hideValues } from "./declared-values.ts";
import { createHttpClient } from "./http-client.ts";
import { createTurns } from "./request-turns.ts";

const CONNECT_MS = 10_000;
/** Of a request's time: that it was not even sent is to be known before it is over. */
const CONNECT_SHARE = 0.8;
const REDIRECTS_MAX = 3;
const RETRY_WAIT_MAX_MS = 30_000;
const TOKEN_ANSWER_MAX_BYTES = 64 * 1024;
const TOKEN_TIMEOUT_MS = 10_000;
const USUAL_HEADERS = { accept: "application/json, */*;q=0.5", "user-agent": "tollgate/0.1" };
/** Of configured headers, those that say who asks. */
const SECRET_HEADER = /auth|token|key|secret|cookie|password/i;

export interface ApiRequestOptions {
  /** It may be sent again when the API says that it cannot take it now. */
  readonly repeatable: boolean;
  readonly bodyMaxBytes: number;
  /** Whose turn it is. */
  readonly share: Share;
  readonly signal: AbortSignal;
  /** Before each that leaves. */
  readonly onRequest: () => void;
  /** After each that was taken: what fails later is the next one. */
  readonly onReply: () => void;
}

/** An API as its connector says that it is asked: with its credentials, at its rate, and nowhere else. */
export interface ApiClient {
  /**
   * @throws {RequestFailure} when no answer came, to the last that left
   * @throws {AppError} `overloaded` when too many wait for the rate; `payload_too_large`; the reason of `signal`
   */
  request(request: ApiRequest, options: ApiRequestOptions): Promise<ApiReply>;
  /** The path of a url that the API gives, seen from the path where it gave it; undefined where that is another origin. */
  pathOf(url: string, from: string): string | undefined;
  /** Takes what says who asks out of what the API says. */
  hide(text: string): string;
  close(): void;
}

export function createApiClient(connector: Connector): ApiClient {
  const { ca, timeoutMs, retry } = connector;
  const base = new URL(connector.baseUrl);
  const connectMs = Math.min(CONNECT_MS, timeoutMs * CONNECT_SHARE);
  const http = createHttpClient({ tls: base.protocol === "https:", connectMs, ca });
  const tokens = openTokens(connector);
  const authorizer = createAuthorizer(connector.auth, { postForm: tokens.postForm, now: Date.now });
  const configured = lowerCased(connector.headers);
  const enterTurn = createTurns(connector.rateLimit);
  const place = urlToHttpOptions(base);

  /** Once; and once more where what it said of who asks is not good any more. */
  async function send(request: ApiRequest, options: ApiRequestOptions): Promise<ApiReply> {
    const whole = { ...request, headers: { ...USUAL_HEADERS, ...request.headers, ...configured } };
    for (let renewed = false; ; renewed = true) {
      await enterTurn(options.share, options.signal);
      const authorized = await authorizer.authorize(whole);
      options.signal.throwIfAborted();
      options.onRequest();
      const reply = await exchange(http, authorized, { ...options, place, timeoutMs });
      // It was refused before anybody looked at what it wants.
      const isRefused = reply.status === 401;
      if (!isRefused) options.onReply();
      if (renewed || !isRefused || !authorizer.renew(authorized)) return reply;
    }
  }

  async function follow(request: ApiRequest, options: ApiRequestOptions): Promise<ApiReply> {
    const isReading = request.method === "GET" || request.method === "HEAD";
    let at = request;
    for (let redirects = 0; ; redirects += 1) {
      const reply = await send(at, options);
      const { location } = reply;
      const path = location === undefined || !isReading ? undefined : pathOf(location, at.path);
      if (path === undefined || redirects >= REDIRECTS_MAX) return reply;
      at = { ...at, path };
    }
  }

  function pathOf(url: string, from: string): string | undefined {
    const target = URL.parse(url, `${base.origin}${from}`);
    return target?.origin === base.origin ? `${target.pathname}${target.search}` : undefined;
  }

  return {
    pathOf,
    async request(request, options) {
      for (let attempt = 1; ; attempt += 1) {
        const reply = await follow(request, options);
        const isOver = !options.repeatable || attempt >= retry.attempts || !retry.statuses.includes(reply.status);
        const usualMs = Math.min(retry.backoffMs * 2 ** (attempt - 1), RETRY_WAIT_MAX_MS);
        const waitMs = reply.retryAfterMs ?? usualMs * (0.75 + Math.random() / 4);
        if (isOver || waitMs > RETRY_WAIT_MAX_MS) return reply;
        await sleep(waitMs, undefined, { signal: options.signal });
      }
    },
    hide(text) {
      const secrets = Object.entries(configured).filter(([name]) => SECRET_HEADER.test(name));
      const words = secrets.flatMap(([, value]) => [value, ...value.split(/\s+/)]);
      return hideValues(Object.fromEntries([...words, ...authorizer.secrets()].entries()))(text);
    },
    close() {
      http.close();
      tokens.close();
    },
  };
}

/** Where tokens are got, if anywhere. */
function openTokens({ auth, ca }: Connector): { postForm: PostForm; close: () => void } {
  if (auth.type !== "oauth_client_credentials")
    return { postForm: () => Promise.reject(new Error("there are no tokens")), close: () => undefined };
  const url = new URL(auth.tokenUrl);
  const http = createHttpClient({ tls: url.protocol === "https:", connectMs: TOKEN_TIMEOUT_MS * CONNECT_SHARE, ca });
  const limits = { timeoutMs: TOKEN_TIMEOUT_MS, bodyMaxBytes: TOKEN_ANSWER_MAX_BYTES };
  const place = urlToHttpOptions(url);
  return {
    close: () => http.close(),
    async postForm(form, headers) {
      const type = { accept: "application/json", "content-type": "application/x-www-form-urlencoded" };
      const request = { method: "POST", path: url.pathname, headers: { ...type, ...headers }, body: form } as const;
      const { signal } = new AbortController();
      const { status, body } = await exchange(http, request, { ...limits, place, signal });
      return { status, text: body.toString("utf8") };
    },
  };
}

function lowerCased(headers: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]));
}
