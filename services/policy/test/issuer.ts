import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { type CryptoKey, exportJWK, generateKeyPair, type JWK, type JWTPayload, SignJWT } from "jose";

export interface SigningKey {
  readonly kid: string;
  readonly alg: string;
  readonly privateKey: CryptoKey;
  readonly publicKey: CryptoKey;
}

export async function newKey(kid: string, alg = "ES256"): Promise<SigningKey> {
  return { kid, alg, ...(await generateKeyPair(alg, { extractable: true })) };
}

async function publicJwk({ kid, alg, publicKey }: SigningKey): Promise<JWK> {
  return { ...(await exportJWK(publicKey)), kid, alg, use: "sig" };
}

/** An authorization server as far as a resource server sees one: metadata, keys, and tokens signed with them. */
export async function startIssuer(options: { path?: string; metadataAt?: string } = {}) {
  const { path = "", metadataAt = `/.well-known/oauth-authorization-server${path}` } = options;
  const asked: string[] = [];
  let keys: readonly SigningKey[] = [await newKey("first")];
  /** What is answered instead, by path. */
  const answers = new Map<string, (response: ServerResponse) => void>();

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = request.url!;
    asked.push(url);
    const other = answers.get(url);
    if (other !== undefined) return other(response);
    const documents: Record<string, () => unknown> = {
      [metadataAt]: () => ({ issuer, jwks_uri: `${origin}/keys` }),
      "/keys": async () => ({ keys: await Promise.all(keys.map(publicJwk)) }),
    };
    const document = await documents[url]?.();
    response.writeHead(document === undefined ? 404 : 200, { "content-type": "application/json" });
    response.end(JSON.stringify(document ?? {}));
  }

  const server = createServer((request, response) => void answer(request, response));
  let port = 0;
  const listen = () =>
    new Promise<void>((resolve) =>
      server.listen(port, "127.0.0.1", () => {
        port = (server.address() as AddressInfo).port;
        resolve();
      }),
    );
  await listen();
  const origin = `http://127.0.0.1:${port}`;
  const issuer = `${origin}${path}`;

  return {
    issuer,
    origin,
    /** Paths that were asked for, in order. */
    asked,
    answers,
    get key(): SigningKey {
      return keys[0]!;
    },
    rotate: (...next: readonly SigningKey[]) => void (keys = next),
    /** From now on nobody listens, until `listen`. */
    goAway: () =>
      new Promise<void>((resolve) => {
        server.closeAllConnections();
        server.close(() => resolve());
      }),
    listen,
    token(claims: JWTPayload, sign: { key?: SigningKey; header?: Record<string, unknown> } = {}): Promise<string> {
      const { kid, alg, privateKey } = sign.key ?? keys[0]!;
      const whole = { iss: issuer, exp: Math.floor(Date.now() / 1_000) + 300, sub: "alice", scope: "mcp", ...claims };
      const header = { alg, kid, typ: "at+jwt", ...sign.header };
      // As it comes over the wire: what is undefined is not there.
      return new SignJWT(JSON.parse(JSON.stringify(whole)) as JWTPayload)
        .setProtectedHeader(JSON.parse(JSON.stringify(header)) as typeof header)
        .sign(privateKey);
    },
    async close(): Promise<void> {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

export type TestIssuer = Awaited<ReturnType<typeof startIssuer>>;
