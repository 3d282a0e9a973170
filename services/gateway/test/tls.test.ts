import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import type { IncomingMessage } from "node:http";
import { type Agent, request as httpsRequest, type RequestOptions } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TLSSocket } from "node:tls";
import { createAuthority, eventually, type TestAuthority, type TestCertificate } from "@tollgate/testkit";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { WebSocket } from "ws";
import { principal } from "./controlled-policy.ts";
import { useInstallation } from "./installation.ts";

const installation = useInstallation({ replicas: 0 });
let folder: string;
let authority: TestAuthority;
let bot: TestCertificate;
/** Of an authority that is not trusted here. */
let stranger: TestCertificate;
let expired: TestCertificate;

const file = (name: string) => join(folder, name);

async function install(certificate: TestCertificate): Promise<void> {
  await writeFile(file("cert.pem"), certificate.cert);
  await writeFile(file("key.pem"), certificate.key);
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "tollgate-tls-"));
  authority = await createAuthority();
  bot = await authority.client({ commonName: "bot", uris: ["spiffe://acme/bot"] });
  stranger = await (await createAuthority("another authority")).client({ commonName: "bot" });
  expired = await authority.client({ commonName: "bot", notAfterMs: Date.now() - 1_000 });
  await install(await authority.server());
  await writeFile(file("ca.pem"), authority.cert);
  installation.around.policy.tokens.set("bot", principal({ id: "agent:bot", credential: "bot-certificate" }));
});
afterAll(() => rm(folder, { recursive: true }));

async function start(clientCertificates: "off" | "optional" | "required"): Promise<number> {
  const { httpPort } = await installation.around.startGateway({
    tlsCertFile: file("cert.pem"),
    tlsKeyFile: file("key.pem"),
    tlsClientCaFile: clientCertificates === "off" ? "" : file("ca.pem"),
    tlsClientCertificates: clientCertificates,
  });
  await eventually(async () => expect((await send(httpPort, { path: "/readyz" })).status).toBe(200));
  return httpPort;
}

interface Sent extends Omit<RequestOptions, "headers"> {
  readonly headers?: Record<string, string>;
  readonly token?: string;
  readonly client?: TestCertificate | undefined;
  readonly body?: string;
  readonly agent?: Agent | false;
}

async function send(port: number, { token, client, body, ...options }: Sent) {
  const request = httpsRequest({
    host: "127.0.0.1",
    port,
    ca: authority.cert,
    agent: false,
    ...options,
    ...(client === undefined ? {} : { cert: client.cert, key: client.key }),
    headers: { ...options.headers, ...(token === undefined ? {} : { authorization: `Bearer ${token}` }) },
  });
  request.end(body);
  const [response] = (await once(request, "response")) as [IncomingMessage];
  const fingerprint = (response.socket as TLSSocket).getPeerCertificate().fingerprint256;
  const chunks = await response.toArray();
  return { status: response.statusCode, headers: response.headers, text: chunks.join(""), fingerprint };
}

const FRAME = JSON.stringify({
  jsonrpc: "2.0",
  id: 1,
  method: "initialize",
  params: { protocolVersion: "2025-11-25", capabilities: {}, clientInfo: { name: "test", version: "1" } },
});
const HEADERS = { "content-type": "application/json", accept: "application/json, text/event-stream" };
const initialize = (port: number, options: Sent) =>
  send(port, { method: "POST", path: "/mcp", headers: HEADERS, body: FRAME, ...options });

describe("TLS", () => {
  let port: number;
  beforeAll(async () => {
    port = await start("off");
  });

  test("is all that the port speaks, from version 1.2 on", async () => {
    expect((await initialize(port, { token: "token" })).status).toBe(200);
    await expect(fetch(`http://127.0.0.1:${port}/readyz`)).rejects.toThrow("fetch failed");
    await expect(send(port, { path: "/readyz", maxVersion: "TLSv1.1", minVersion: "TLSv1.1" })).rejects.toThrow(
      /alert|protocol|reset/,
    );
    expect((await send(port, { path: "/readyz", maxVersion: "TLSv1.2" })).status).toBe(200);
  });

  test("a client's certificate counts for nothing where none is asked for", async () => {
    expect((await initialize(port, { client: bot })).status).toBe(401);
  });

  test("carries WebSocket as well", async () => {
    const socket = new WebSocket(`wss://127.0.0.1:${port}/mcp/ws`, ["mcp"], {
      ca: authority.cert,
      headers: { authorization: "Bearer token" },
    });
    await once(socket, "open");
    socket.send(FRAME);
    const [message] = (await once(socket, "message")) as [Buffer];
    expect(JSON.parse(message.toString("utf8"))).toMatchObject({ id: 1, result: {} });
    socket.close();
  });

  test("takes a renewed certificate over, and keeps the last one where the files are broken", async () => {
    const renewed = await authority.server();
    await writeFile(file("key.pem"), "no key");
    await writeFile(file("cert.pem"), renewed.cert);
    const before = (await send(port, { path: "/readyz" })).fingerprint;
    await install(renewed);
    await eventually(async () => expect((await send(port, { path: "/readyz" })).fingerprint).not.toBe(before));
    expect((await send(port, { path: "/readyz" })).fingerprint.replaceAll(":", "").toLowerCase()).toBe(renewed.sha256);
  });
});

describe("client certificates that are optional", () => {
  let port: number;
  beforeAll(async () => {
    port = await start("optional");
  });
  const lastAsked = () => installation.around.policy.authenticated.at(-1)!;

  test("stand for who has them", async () => {
    expect((await initialize(port, { client: bot })).status).toBe(200);
    expect(lastAsked()).toMatchObject({
      token: "",
      certificate: { sha256: bot.sha256, commonName: "bot", alternativeNames: ["URI:spiffe://acme/bot"] },
    });
  });

  test("go along with a token, which wins", async () => {
    expect((await initialize(port, { client: bot, token: "token" })).status).toBe(200);
    expect(lastAsked()).toMatchObject({ token: "token", certificate: { sha256: bot.sha256 } });
    expect((await initialize(port, { client: bot, token: "forged" })).status).toBe(401);
    expect((await initialize(port, { client: bot, headers: { ...HEADERS, authorization: "Basic Ym90" } })).status).toBe(
      401,
    );
  });

  test("are remembered apart: a token that was let in with one is asked for again without it", async () => {
    await initialize(port, { client: bot, token: "token" });
    await initialize(port, { token: "token" });
    installation.around.policy.authenticated.length = 0;
    await initialize(port, { client: bot, token: "token" });
    expect(installation.around.policy.authenticated).toEqual([]);
    await initialize(port, { client: await authority.client({ commonName: "other" }), token: "token" });
    expect(installation.around.policy.authenticated).toHaveLength(1);
  });

  test.each([
    ["none", () => undefined],
    ["one of another authority", () => stranger],
    ["an expired one", () => expired],
  ])("%s is as good as none", async (_what, client) => {
    // So that nothing is remembered.
    await installation.around.policy.changeTaken();
    expect((await initialize(port, { client: client() })).status).toBe(401);
    expect((await initialize(port, { client: client(), token: "token" })).status).toBe(200);
    expect(lastAsked().certificate).toBeUndefined();
  });

  test("stand for who has them over WebSocket, where they are asked for again after a change", async () => {
    const socket = new WebSocket(`wss://127.0.0.1:${port}/mcp/ws`, ["mcp"], {
      ca: authority.cert,
      cert: bot.cert,
      key: bot.key,
    });
    await once(socket, "open");
    socket.send(FRAME);
    await once(socket, "message");
    installation.around.policy.tokens.delete("bot");
    installation.around.policy.change();
    const [code] = (await once(socket, "close")) as [number];
    expect(code).toBe(4401);
    installation.around.policy.tokens.set("bot", principal({ id: "agent:bot", credential: "bot-certificate" }));
  });
});

describe("client certificates that are required", () => {
  let port: number;
  beforeAll(async () => {
    port = await start("required");
  });

  test("are needed beside a token, on every way in", async () => {
    expect((await initialize(port, { token: "token" })).status).toBe(401);
    expect((await send(port, { path: "/api/v1/servers", token: "token" })).status).toBe(401);
    expect((await initialize(port, { token: "token", client: stranger })).status).toBe(401);
    expect((await initialize(port, { token: "token", client: bot })).status).toBe(200);
  });

  test("are not needed to see whether the gateway is ready", async () => {
    expect((await send(port, { path: "/readyz" })).status).toBe(200);
  });
});

test.each([
  ["a certificate without its key", { tlsCertFile: "cert.pem" }, "needs a certificate and its key"],
  [
    "client certificates without an authority",
    { tlsCertFile: "cert.pem", tlsKeyFile: "key.pem", tlsClientCertificates: "optional" },
    "need their CA",
  ],
  ["client certificates without TLS", { tlsClientCertificates: "required" }, "needs a certificate and its key"],
  ["a file that is not there", { tlsCertFile: "none.pem", tlsKeyFile: "key.pem" }, "no such file"],
  ["a key of another certificate", { tlsCertFile: "cert.pem", tlsKeyFile: "other-key.pem" }, "key values mismatch"],
])("%s: the gateway does not start", async (_what, settings, message) => {
  await writeFile(file("other-key.pem"), (await authority.server()).key);
  const inFolder = Object.entries(settings).map(([name, value]) => [
    name,
    value.endsWith(".pem") ? file(value) : value,
  ]);
  const starting = installation.around.startGateway(Object.fromEntries(inFolder) as object);
  await expect(starting).rejects.toMatchObject({ code: "invalid_argument", message: expect.stringContaining(message) });
});
