// An issuer of access tokens, made by hand so that its tokens can be anything: no library signs what no issuer should.
import { createHmac, generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";

export type Json = Readonly<Record<string, unknown>>;

export const encode = (text: string): string => Buffer.from(text).toString("base64url");

/** ES256 (RFC 7518, section 3.4). */
function signature(input: string, key: KeyObject): string {
  return sign("sha256", Buffer.from(input), { key, dsaEncoding: "ieee-p1363" }).toString("base64url");
}

export async function startIssuer() {
  const own = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const stranger = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const publicJwk = { ...own.publicKey.export({ format: "jwk" }), kid: "own", alg: "ES256", use: "sig" };
  const strangersJwk = { ...stranger.publicKey.export({ format: "jwk" }), kid: "own", alg: "ES256" };
  /** Paths that were asked for. */
  const asked: string[] = [];

  const server = createServer(({ url = "" }, response) => {
    asked.push(url);
    const documents: Record<string, unknown> = {
      "/.well-known/oauth-authorization-server": { issuer: origin, jwks_uri: `${origin}/keys` },
      "/keys": { keys: [publicJwk] },
      // Where a token's own header would send whoever believes it.
      "/evil/keys": { keys: [strangersJwk] },
    };
    response.writeHead(documents[url] === undefined ? 404 : 200, { "content-type": "application/json" });
    response.end(JSON.stringify(documents[url] ?? {}));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const HEADER = { alg: "ES256", kid: "own", typ: "at+jwt" };

  /** Both parts as JSON texts, signed by the issuer, or by somebody else. */
  function signed(header: string, claims: string, key: KeyObject = own.privateKey): string {
    const input = `${encode(header)}.${encode(claims)}`;
    return `${input}.${signature(input, key)}`;
  }

  return {
    origin,
    asked,
    strangersJwk,
    strangersKey: stranger.privateKey,
    header: (more: Json = {}) => JSON.stringify({ ...HEADER, ...more }),
    signed,
    /** With a secret in the place of a key: the public key, which everybody has. */
    signedWithPublicKey(alg: string, claims: string): string {
      const input = `${encode(JSON.stringify({ ...HEADER, alg }))}.${encode(claims)}`;
      const pem = own.publicKey.export({ format: "pem", type: "spki" });
      return `${input}.${createHmac("sha256", pem).update(input).digest("base64url")}`;
    },
    async close(): Promise<void> {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

export type HostileIssuer = Awaited<ReturnType<typeof startIssuer>>;
