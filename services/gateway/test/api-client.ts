import { Agent, request } from "node:http";

/** Without a first byte for this long, an answer does not come any more. */
const ANSWER_TIMEOUT_MS = 20_000;

export interface ApiRequest {
  readonly method: string;
  /** As it goes over the wire, already escaped. */
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | undefined;
}

export interface ApiAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly type: string;
  /** Of answers that last only what came first. */
  readonly text: string;
}

/** Sends what `fetch` would put right. */
export function openApiClient(baseUrl: string): {
  send(asked: ApiRequest): Promise<ApiAnswer>;
  close(): void;
} {
  const { hostname, port } = new URL(baseUrl);
  const agent = new Agent({ keepAlive: true, maxSockets: 8 });
  return {
    send: ({ method, path, headers, body }) =>
      new Promise((resolve, reject) => {
        const length = body === undefined ? {} : { "content-length": Buffer.byteLength(body) };
        const options = { agent, hostname, port, method, path, headers: { ...headers, ...length } };
        const asked = request(options, (answer) => {
          const type = answer.headers["content-type"]?.split(";")[0] ?? "";
          const found = { status: answer.statusCode ?? 0, headers: answer.headers, type };
          if (type === "text/event-stream") {
            asked.destroy();
            return resolve({ ...found, text: "" });
          }
          const chunks: Buffer[] = [];
          answer.on("data", (chunk: Buffer) => chunks.push(chunk));
          answer.on("end", () => resolve({ ...found, text: Buffer.concat(chunks).toString() }));
          answer.on("error", reject);
        });
        asked.setTimeout(ANSWER_TIMEOUT_MS, () => asked.destroy(new Error("no answer")));
        asked.on("error", reject);
        asked.end(body);
      }),
    close: () => agent.destroy(),
  };
}
