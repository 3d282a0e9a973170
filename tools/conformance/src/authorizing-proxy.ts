import { once } from "node:events";
import { createServer, request as httpRequest } from "node:http";
import type { AddressInfo } from "node:net";
import { pipeline } from "node:stream";

export interface Proxy {
  /** Without a path. */
  readonly url: string;
  readonly stop: () => Promise<void>;
}

/**
 * Adds a token to each request that has none, since the suite sends none, and changes nothing else: what is checked of
 * Host and Origin, of headers and of streams is the gateway's doing.
 */
export async function startAuthorizingProxy(gatewayUrl: string, token: string): Promise<Proxy> {
  const { hostname, port } = new URL(gatewayUrl);
  const server = createServer((request, response) => {
    const { method, url, rawHeaders } = request;
    const own = request.headers.authorization === undefined ? ["authorization", `Bearer ${token}`] : [];
    const headers = [...rawHeaders, ...own];
    const forwarded = httpRequest({ hostname, port, method, path: url, headers, setHost: false });
    forwarded.on("response", (answer) => {
      response.writeHead(answer.statusCode!, answer.statusMessage, answer.rawHeaders);
      // The head of an event stream comes long before its first event.
      response.flushHeaders();
      pipeline(answer, response, () => undefined);
    });
    forwarded.on("error", () => response.destroy());
    // A client that leaves has cancelled its call.
    response.on("close", () => forwarded.destroy());
    pipeline(request, forwarded, () => undefined);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    stop: async () => {
      server.close();
      server.closeAllConnections();
      await once(server, "close");
    },
  };
}
