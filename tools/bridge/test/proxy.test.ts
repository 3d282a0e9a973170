import { createServer, request, type Server } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { afterEach, expect, test, vi } from "vitest";
import { modern, TOKEN, useBridge } from "./bridge.ts";
import { json, resultFor } from "./endpoint.ts";

const bench = useBridge();
const proxies: Server[] = [];
afterEach(() => {
  for (const proxy of proxies.splice(0)) {
    proxy.close();
    proxy.closeAllConnections();
  }
});

/** A proxy for which every host is this machine. `asked` are the URLs, and the hosts of tunnels. */
async function startProxy(): Promise<{ url: string; asked: string[] }> {
  const asked: string[] = [];
  const proxy = createServer((incoming, outgoing) => {
    const url = new URL(incoming.url ?? "");
    asked.push(url.href);
    const { method, headers } = incoming;
    const forwarded = request(
      { host: "127.0.0.1", port: url.port, path: url.pathname, method, headers },
      (response) => {
        outgoing.writeHead(response.statusCode ?? 0, response.headers);
        response.pipe(outgoing);
      },
    );
    forwarded.on("error", () => outgoing.writeHead(502).end());
    incoming.pipe(forwarded);
  });
  proxy.on("connect", (incoming, client) => {
    asked.push(incoming.url ?? "");
    const server = connect(Number(incoming.url?.split(":")[1]), "127.0.0.1", () => {
      client.write("HTTP/1.1 200 OK\r\n\r\n");
      client.pipe(server).pipe(client);
    });
    server.on("error", () => client.destroy());
    client.on("error", () => server.destroy());
  });
  await new Promise<void>((resolve) => proxy.listen(0, "127.0.0.1", resolve));
  proxies.push(proxy);
  return { url: `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`, asked };
}

test("goes through the proxy that the environment names, unless NO_PROXY or this machine is meant", async () => {
  const proxy = await startProxy();
  const endpoint = await bench.endpoint((received, response) =>
    received.verb === "GET" ? void response.writeHead(200).end() : json(response, resultFor(received, '{"tools":[]}')),
  );
  const far = endpoint.url.replace("127.0.0.1", "gateway.example");
  const env = { HTTP_PROXY: proxy.url };

  const through = bench.start(undefined, { args: ["--url", far, "--token", TOKEN], env });
  through.send(modern(1, "tools/call", '"name":"a"'));
  expect((await through.answer(1))["result"]).toEqual({ tools: [] });
  expect(proxy.asked).toEqual([far]);
  expect(endpoint.received[0]?.headers).toMatchObject({ authorization: `Bearer ${TOKEN}`, "mcp-name": "a" });

  const doctor = bench.start(undefined, { args: ["doctor", "--url", far, "--token", TOKEN], env });
  expect((await doctor.exited).code).toBe(0);
  expect(doctor.lines).toContain("ok    HTTP_PROXY is used, unless NO_PROXY names gateway.example");

  const near = bench.start(endpoint, { env });
  near.send(modern(1, "ping"));
  await near.answer(1);
  expect(proxy.asked).not.toContain(endpoint.url);
  const exempt = bench.start(undefined, {
    args: ["--url", far, "--token", TOKEN],
    env: { ...env, NO_PROXY: ".example" },
  });
  exempt.send(modern(1, "tools/call", '"name":"a"'));
  expect((await exempt.answer(1))["error"].message).toContain("cannot reach the gateway");
  await vi.waitFor(() => expect(proxy.asked.filter((url) => url === far)).toHaveLength(3)); // Two of them the doctor's.
});
