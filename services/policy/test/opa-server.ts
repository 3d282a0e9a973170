import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

interface AskedQuestion {
  readonly path: string;
  readonly authorization: string | undefined;
  readonly input: any;
}

type Answer = (response: ServerResponse, question: AskedQuestion) => void;

/** A JSON document with a status, as OPA sends them. */
export const document =
  (value: unknown, status = 200): Answer =>
  (response) => {
    response.writeHead(status, { "content-type": "application/json" });
    response.end(JSON.stringify(value));
  };

/** OPA's data API, as far as it is asked here; a rule that is undefined has a document without a result. */
export async function startOpaServer() {
  const asked: AskedQuestion[] = [];
  let answer: Answer = document({});

  async function take(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    if (request.method !== "POST") return void response.writeHead(405).end();
    const { input } = JSON.parse(Buffer.concat(chunks).toString()) as { input: unknown };
    const question = { path: request.url!, authorization: request.headers.authorization, input };
    asked.push(question);
    answer(response, question);
  }

  const server = createServer((request, response) => void take(request, response).catch(() => response.destroy()));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked,
    answers: (next: Answer) => void (answer = next),
    async close(): Promise<void> {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

export type TestOpaServer = Awaited<ReturnType<typeof startOpaServer>>;
