import { once } from "node:events";
import { Agent as HttpAgent, type ClientRequest, type IncomingMessage, request as requestHttp } from "node:http";
import { Agent as HttpsAgent, request as requestHttps } from "node:https";
import { promisify } from "node:util";
import { gzip } from "node:zlib";
import { AppError } from "@tollgate/errors";
import type { TlsFiles } from "./target.ts";

const compress = promisify(gzip);

/** Of an answer; what follows is nobody's business. */
const ANSWER_MAX_BYTES = 64 * 1024;
const RETRY_AFTER_MAX_MS = 3_600_000;
const RETRIED_STATUSES: ReadonlySet<number> = new Set([408, 425, 429]);

interface HttpOptions {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly tls: TlsFiles;
  readonly gzip: boolean;
  readonly timeoutMs: number;
}

/** One receiver, over a connection that is kept. Redirections are not followed: headers are for this address only. */
export function openHttp(options: HttpOptions) {
  const isSecure = options.url.startsWith("https:");
  const agent = isSecure
    ? new HttpsAgent({ keepAlive: true, maxSockets: 1, ...options.tls })
    : new HttpAgent({ keepAlive: true, maxSockets: 1 });

  async function attempt(body: Buffer, headers: Record<string, string | number>, signal: AbortSignal): Promise<string> {
    const send = isSecure ? requestHttps : requestHttp;
    const request = send(options.url, { method: "POST", headers, agent, signal });
    // One that comes after the answer has begun is told by reading that.
    request.on("error", () => {});
    request.end(body);
    const response = await answerTo(request);
    const text = await readAnswer(response);
    const status = response.statusCode ?? 0;
    if (status >= 200 && status < 300) return text;
    const isLater = status >= 500 || RETRIED_STATUSES.has(status);
    throw new AppError(isLater ? "unavailable" : "failed_precondition", `the receiver has answered ${status}`, {
      details: { retryAfterMs: retryAfterMs(response.headers["retry-after"], Date.now()) },
    });
  }

  return {
    /** Its answer's body. @throws {AppError} as a target's `send` */
    async post(text: string, { contentType, signal }: { contentType: string; signal: AbortSignal }): Promise<string> {
      const body = options.gzip ? await compress(text) : Buffer.from(text);
      const headers = {
        ...options.headers,
        "content-type": contentType,
        "content-length": body.length,
        ...(options.gzip ? { "content-encoding": "gzip" } : {}),
      };
      const timeout = AbortSignal.timeout(options.timeoutMs);
      try {
        return await attempt(body, headers, AbortSignal.any([signal, timeout]));
      } catch (error) {
        if (error instanceof AppError) throw error;
        const message = timeout.aborted ? `no answer within ${options.timeoutMs} ms` : (error as Error).message;
        throw new AppError("unavailable", message, { cause: error });
      }
    },
    close: () => agent.destroy(),
  };
}

async function answerTo(request: ClientRequest): Promise<IncomingMessage> {
  const [response] = (await once(request, "response")) as [IncomingMessage];
  return response;
}

async function readAnswer(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let length = 0;
  // All of it is read, so that the connection can be used again.
  for await (const chunk of response as AsyncIterable<Buffer>) {
    if (length < ANSWER_MAX_BYTES) chunks.push(chunk);
    length += chunk.length;
  }
  return Buffer.concat(chunks).subarray(0, ANSWER_MAX_BYTES).toString();
}

/** RFC 9110, section 10.2.3: seconds, or a date. Undefined where it says neither. */
function retryAfterMs(header: string | undefined, nowMs: number): number | undefined {
  if (header === undefined) return undefined;
  const ms = /^\d+$/.test(header) ? Number(header) * 1_000 : Date.parse(header) - nowMs;
  return Number.isNaN(ms) ? undefined : Math.min(Math.max(0, ms), RETRY_AFTER_MAX_MS);
}
