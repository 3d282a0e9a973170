import type { Log } from "@tollgate/service";
import type { Exchange } from "./http-client.ts";
import type { HttpEndpoint } from "./http-endpoint.ts";
import { saysSessionIsGone } from "./http-refusal.ts";
import { readBody, readEvents } from "./response-body.ts";
import { oneLine } from "./server-text.ts";

const BACKOFF_MIN_MS = 1_000;
const BACKOFF_MAX_MS = 60_000;
const WAIT_MIN_MS = 10;

/**
 * What a server with sessions says unasked: a stream by GET, opened anew whenever it ends, for as long as the server
 * offers one. Returns how it is stopped.
 */
export function followUnasked(options: {
  endpoint: HttpEndpoint;
  dataMaxBytes: number;
  log: Log;
  onMessage: (text: string) => void;
  onExpired: () => void;
}): () => void {
  const { endpoint, dataMaxBytes, log } = options;
  let exchange: Exchange | undefined;
  let waiting: NodeJS.Timeout | undefined;
  let lastEventId: string | undefined;
  let retryMs: number | undefined;
  let backoffMs = BACKOFF_MIN_MS;
  let stopped = false;

  function again(reason: string): void {
    if (stopped) return;
    exchange?.abort();
    const waitMs = Math.min(
      Math.max(retryMs ?? 0, backoffMs === BACKOFF_MIN_MS && retryMs !== undefined ? WAIT_MIN_MS : backoffMs),
      BACKOFF_MAX_MS,
    );
    backoffMs = Math.min(backoffMs * 2, BACKOFF_MAX_MS);
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
          return readEvents(response, dataMaxBytes, {
            onId: (id) => {
              lastEventId = id === "" ? undefined : id;
              backoffMs = BACKOFF_MIN_MS;
            },
            onRetry: (ms) => (retryMs = ms),
            onEvent: (name, data) => {
              backoffMs = BACKOFF_MIN_MS;
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
    if (endpoint.session !== "" && saysSessionIsGone(status, body)) options.onExpired();
  }

  open();
  return () => {
    stopped = true;
    clearTimeout(waiting);
    exchange?.abort();
  };
}
