import type { IncomingMessage, RequestOptions } from "node:http";
import type { ApiAnswer, ApiRequest } from "@tollgate/connectors";
import { AppError } from "@tollgate/errors";
import type { HttpClient } from "./http-client.ts";
import { RequestFailure } from "./request-failure.ts";
import { readBytes } from "./response-body.ts";

/** An API's answer, with what decides on what is asked next. */
export interface ApiReply extends ApiAnswer {
  /** The header Link, or "". */
  readonly link: string;
  /** Where a redirect leads; undefined where it is none. */
  readonly location: string | undefined;
  /** How long to wait; undefined where it does not say. */
  readonly retryAfterMs: number | undefined;
}

interface ExchangeOptions {
  /** Of the API, as Node takes it; the request's path goes into it. */
  readonly place: RequestOptions;
  readonly timeoutMs: number;
  readonly bodyMaxBytes: number;
  readonly signal: AbortSignal;
}

/**
 * Sends a request once.
 * @throws {RequestFailure} when no answer came
 * @throws {AppError} `payload_too_large`; the reason of `signal`
 */
export function exchange(http: HttpClient, request: ApiRequest, options: ExchangeOptions): Promise<ApiReply> {
  const { place, timeoutMs, bodyMaxBytes, signal } = options;
  const { method, path, headers, body } = request;
  const { promise, resolve, reject } = Promise.withResolvers<ApiReply>();
  const fail = (error: Error) => {
    sent.abort();
    reject(error);
  };
  const sent = http.request({
    place: { ...place, path },
    method,
    headers,
    ...(body === undefined ? {} : { body }),
    aside: false,
    silenceMs: timeoutMs,
    onFailure: (reason, delivered) => reject(new RequestFailure(reason, { notDelivered: !delivered })),
    onResponse(response) {
      if ((response.headers["content-encoding"] ?? "identity") !== "identity")
        return fail(new RequestFailure("compressed its answer without being asked to", { notDelivered: false }));
      const tooLarge = new AppError("payload_too_large", `the answer is larger than ${bodyMaxBytes} bytes`);
      return readBytes(response, bodyMaxBytes, (bytes) =>
        bytes === undefined ? fail(tooLarge) : resolve(toReply(response, bytes)),
      );
    },
  });
  const late = new RequestFailure(`did not answer within ${timeoutMs} ms`, { notDelivered: false });
  const timer = setTimeout(() => fail(late), timeoutMs);
  const onAbort = () => fail(signal.reason as Error);
  signal.addEventListener("abort", onAbort, { once: true });
  return promise.finally(() => {
    clearTimeout(timer);
    signal.removeEventListener("abort", onAbort);
  });
}

function toReply({ statusCode = 0, statusMessage = "", headers }: IncomingMessage, body: Buffer): ApiReply {
  const { link = "", location } = headers;
  return {
    status: statusCode,
    statusText: statusMessage,
    contentType: headers["content-type"] ?? "",
    body,
    link: Array.isArray(link) ? link.join(", ") : link,
    location: statusCode >= 300 && statusCode < 400 ? location : undefined,
    retryAfterMs: retryAfterMs(headers["retry-after"]),
  };
}

/** RFC 9110, section 10.2.3. */
function retryAfterMs(value: string | undefined): number | undefined {
  if (value === undefined) return undefined;
  if (/^\d+$/.test(value)) return Number(value) * 1_000;
  const at = Date.parse(value);
  return Number.isNaN(at) ? undefined : Math.max(0, at - Date.now());
}
