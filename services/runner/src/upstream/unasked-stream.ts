import type { Log } from "@tollgate/service";
import type { Exchange } from "./http-client.ts";
import type { HttpEndpoint } from "./http-endpoint.ts";
import { saysSessionIsGone } from "./http-refusal.ts";
import { readBody, readEvents } from "./response-body.ts";
import { oneLine } from "./server-text.ts";

const RETRY_MS = 1_000;
const RETRY_MIN_MS = 10;
const RETRY_MAX_MS = 60_000;
const DOUBLINGS_MAX = 12;

/**
 * What a server with sessions says unasked: a stream by GET, opened anew whenever it ends, for as long as the server
 * offers one. Returns how it is stopped.
 */
export function followUnasked(options: {
  endpoint: HttpEndpoint;
  dataMaxBytes: number;
  log: Log;
  onMessage: (text: string) => void;
  /** It is open, or it is clear that it is not; more than once. */
  onSettled: () => void;
  onExpired: () => void;
}): () => void {
  const { endpoint, dataMaxBytes, log, onSettled } = options;
  let exchange: Exchange | undefined;
  let waiting: NodeJS.Timeout | undefined;
  let lastEventId: string | undefined;
  let retryMs: number | undefined;
  /** Streams one after the other in which nothing came. */
  let inVain = 0;
  let stopped = false;

  function again(reason: string): void {
    if (stopped) return;
    onSettled();
    exchange?.abort();
    const waitMs = Math.min(Math.max(retryMs ?? RETRY_MS, RETRY_MIN_MS) * 2 ** inVain, RETRY_MAX_MS);
    inVain = Math.min(inVain + 1, DOUBLINGS_MAX);
    log.debug({ reason, waitMs }, "the stream of what the server says unasked has ended");
    waiting = setTimeout(open, waitMs);
  }

  function open(): void {
    exchange = endpoint.get({
      lastEventId,
      onFailure: again,
      onResponse: (response) => {
        const status = response.statusCode ?? 0;
        if (status === 200 && response.headers["content-type"]?.startsWith("text/event-stream")) {
          onSettled();
          return readEvents(response, dataMaxBytes, {
            onId: (id) => {
              lastEventId = id === "" ? undefined : id;
              inVain = 0;
            },
            onRetry: (ms) => (retryMs = ms),
            onEvent: (name, data) => {
              inVain = 0;
              if (!stopped && name === "message" && data !== "") options.onMessage(oneLine(data));
            },
            onTooLarge: () => again(`an event of more than ${dataMaxBytes} bytes`),
            onEnd: () => again("the server ended it"),
          });
        }
        return readBody(response, dataMaxBytes, (body) => refused(status, body ?? ""));
      },
    });
  }

  function refused(status: number, body: string): void {
    if (stopped) return;
    if (status === 429 || status >= 500) return again(`HTTP ${status}`);
    exchange?.abort();
    // 405 says that there is none (2025-03-26, Listening for Messages); what else is said here changes by itself no more.
    log.debug({ status }, "the server offers no stream of what it says unasked");
    if (endpoint.session !== "" && saysSessionIsGone(status, body)) return options.onExpired();
    onSettled();
  }

  open();
  return () => {
    stopped = true;
    clearTimeout(waiting);
    exchange?.abort();
  };
}
