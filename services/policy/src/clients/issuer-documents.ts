import type { JSONWebKeySet } from "jose";

/** Where an issuer's keys come from. */
export interface Issuer {
  /** As it stands in `iss`. */
  readonly issuer: string;
  /** Undefined: its metadata says it. */
  readonly jwksUri: string | undefined;
}

const DOCUMENT_MAX_BYTES = 256 * 1024;

/** @throws {Error} that says which document was not there or not what it has to be */
export async function fetchKeys(issuer: Issuer, signal: AbortSignal): Promise<JSONWebKeySet> {
  const url = issuer.jwksUri ?? (await findJwksUri(issuer.issuer, signal));
  const keySet = (await fetchDocument(url, signal)) as Partial<JSONWebKeySet>;
  if (!Array.isArray(keySet.keys)) throw new Error(`${url} is not a set of keys`);
  return { keys: keySet.keys };
}

/**
 * An issuer's metadata may be in any of these places (RFC 8414, section 3.1 and 5; OpenID Connect Discovery 1.0, section 4),
 * here in the order in which MCP's clients look.
 */
function metadataUrls(issuer: string): string[] {
  const { origin, pathname } = new URL(issuer);
  const path = pathname.replace(/\/$/, "");
  const inserted = ["oauth-authorization-server", "openid-configuration"].map(
    (name) => `${origin}/.well-known/${name}${path}`,
  );
  return path === "" ? inserted : [...inserted, `${origin}${path}/.well-known/openid-configuration`];
}

async function findJwksUri(issuer: string, signal: AbortSignal): Promise<string> {
  const problems: string[] = [];
  for (const url of metadataUrls(issuer)) {
    try {
      return jwksUriOf(await fetchDocument(url, signal), issuer);
    } catch (error) {
      signal.throwIfAborted();
      problems.push(`${url}: ${messageOf(error)}`);
    }
  }
  throw new Error(`no metadata of the issuer can be used: ${problems.join("; ")}`);
}

function jwksUriOf(metadata: Readonly<Record<string, unknown>>, issuer: string): string {
  // RFC 8414, section 3.3: what calls itself otherwise must not be used.
  if (metadata["issuer"] !== issuer) throw new Error("is the metadata of another issuer");
  const url = URL.parse(String(metadata["jwks_uri"]));
  if (url === null) throw new Error("has no jwks_uri");
  if (url.protocol !== "https:" && url.protocol !== new URL(issuer).protocol) throw new Error("has an unsafe jwks_uri");
  return url.href;
}

/** Redirects are not followed: they would let whoever can make the issuer redirect choose the keys. */
async function fetchDocument(url: string, signal: AbortSignal): Promise<Readonly<Record<string, unknown>>> {
  const response = await fetch(url, { signal, redirect: "manual", headers: { accept: "application/json" } });
  if (response.status !== 200) {
    await response.body?.cancel();
    throw new Error(`the answer has status ${response.status}`);
  }
  const document: unknown = JSON.parse(await readBounded(response));
  if (typeof document !== "object" || document === null) throw new Error("the answer is not a JSON object");
  return document as Readonly<Record<string, unknown>>;
}

async function readBounded(response: Response): Promise<string> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of response.body ?? []) {
    bytes += chunk.byteLength;
    // Leaving the loop ends the connection.
    if (bytes > DOCUMENT_MAX_BYTES) throw new Error(`the answer is longer than ${DOCUMENT_MAX_BYTES} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}

/** `fetch` says why it failed only in the cause. */
function messageOf(error: unknown): string {
  const { message, cause } = error as Error;
  return cause instanceof Error ? `${message} (${cause.message})` : message;
}
