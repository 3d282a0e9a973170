import { once } from "node:events";
import { readFileSync } from "node:fs";
import { Agent as HttpAgent, type IncomingMessage, request as requestHttp } from "node:http";
import { Agent as HttpsAgent, request as requestHttps } from "node:https";
import { AppError } from "@tollgate/errors";

const ANSWER_MAX_BYTES = 1024 * 1024;
const CONNECTIONS_MAX = 8;

export interface JsonAnswer {
  readonly status: number;
  /** Undefined where it is no JSON. */
  readonly body: unknown;
}

export interface JsonRequest {
  readonly method: "GET" | "POST";
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: unknown;
  readonly signal: AbortSignal;
}

/**
 * One server, over connections that are kept. Redirections are not followed: headers are for this address only.
 * @throws {AppError} `send` throws unavailable when there is no whole answer; the message says why, and nothing of either
 */
export function openJsonHttp(options: { url: string; caFile: string | undefined; timeoutMs: number }) {
  const { url, caFile, timeoutMs } = options;
  const isSecure = url.startsWith("https:");
  const pooled = { keepAlive: true, maxSockets: CONNECTIONS_MAX };
  const agent = isSecure
    ? new HttpsAgent({ ...pooled, ...(caFile === undefined ? {} : { ca: readFileSync(caFile) }) })
    : new HttpAgent(pooled);

  async function exchange(asked: JsonRequest, signal: AbortSignal): Promise<JsonAnswer> {
    const body = asked.body === undefined ? undefined : JSON.stringify(asked.body);
    const headers = { ...asked.headers, ...(body === undefined ? {} : { "content-type": "application/json" }) };
    const send = isSecure ? requestHttps : requestHttp;
    const request = send(url + asked.path, { method: asked.method, headers, agent, signal });
    // One that comes after the answer has begun is told by reading that.
    request.on("error", () => {});
    request.end(body);
    const [response] = (await once(request, "response")) as [IncomingMessage];
    return { status: response.statusCode ?? 0, body: parse(await readAnswer(response)) };
  }

  return {
    async send(asked: JsonRequest): Promise<JsonAnswer> {
      const timeout = AbortSignal.timeout(timeoutMs);
      try {
        return await exchange(asked, AbortSignal.any([asked.signal, timeout]));
      } catch (error) {
        if (error instanceof AppError) throw error;
        const { code } = error as NodeJS.ErrnoException;
        const message = timeout.aborted ? `no answer within ${timeoutMs} ms` : `cannot be reached (${code})`;
        throw new AppError("unavailable", message, { cause: error });
      }
    },
    close: () => agent.destroy(),
  };
}

async function readAnswer(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    // Leaving the loop ends the connection.
    if (bytes > ANSWER_MAX_BYTES) throw new AppError("unavailable", `an answer of more than ${ANSWER_MAX_BYTES} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
