import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { localhostHostValidation, localhostOriginValidation } from "@modelcontextprotocol/node";

export interface Listening {
  /** `127.0.0.1:<port>` */
  readonly address: string;
  readonly http: ReturnType<typeof createServer>;
  readonly close: () => Promise<void>;
}

/** Listens on loopback, and answers only whoever asks for it by that name: a web page elsewhere must not reach it. */
export async function listen(
  port: number,
  handle: (request: IncomingMessage, response: ServerResponse) => Promise<void>,
): Promise<Listening> {
  const hasHost = localhostHostValidation();
  const hasOrigin = localhostOriginValidation();
  const http = createServer((request, response) => {
    if (!hasHost(request, response) || !hasOrigin(request, response)) return;
    handle(request, response).catch((error: unknown) => {
      process.stderr.write(`${request.method} ${request.url}: ${String(error)}\n`);
      response.destroy();
    });
  });
  http.listen(port, "127.0.0.1");
  await once(http, "listening");
  return {
    address: `127.0.0.1:${(http.address() as AddressInfo).port}`,
    http,
    close: async () => {
      http.close();
      http.closeAllConnections();
      await once(http, "close");
    },
  };
}
