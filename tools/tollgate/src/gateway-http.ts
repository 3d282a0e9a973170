import { X509Certificate } from "node:crypto";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import type { IncomingMessage } from "node:http";
import { request } from "node:https";
import { Readable } from "node:stream";

/** Where this installation's own gateway listens. */
export interface OwnGateway {
  readonly url: string;
  /** PEM file of its certificate, where it speaks TLS. */
  readonly certFile?: string | undefined;
}

interface Sent {
  readonly method: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string;
  readonly signal: AbortSignal;
}

/**
 * Its certificate is known, and need not have the name of this machine: exactly that one is trusted.
 * @throws {TypeError} when nobody answers, as fetch does
 */
export async function openOwnGateway(
  { url, certFile }: OwnGateway,
  path: string,
  sent: Sent,
): Promise<{ status: number; headers: Headers; body: Readable }> {
  if (certFile === undefined) {
    const { status, headers, body } = await fetch(`${url}${path}`, sent);
    return { status, headers, body: body === null ? Readable.from([]) : Readable.fromWeb(body) };
  }
  const own = readFileSync(certFile, "utf8");
  const { fingerprint256 } = new X509Certificate(own);
  try {
    const asked = request(`${url}${path}`, {
      ...sent,
      agent: false,
      ca: own,
      allowPartialTrustChain: true,
      checkServerIdentity: (_host, certificate) =>
        certificate.fingerprint256 === fingerprint256
          ? undefined
          : new Error(`has another certificate than ${certFile}`),
    });
    asked.end(sent.body);
    const [response] = (await once(asked, "response")) as [IncomingMessage];
    const headers = new Headers(Object.entries(response.headers).map(([name, value]) => [name, String(value)]));
    return { status: response.statusCode ?? 0, headers, body: response };
  } catch (error) {
    throw cannotBeAsked(error);
  }
}

/** The same, with the answer as a whole. */
export async function askOwnGateway(
  own: OwnGateway,
  path: string,
  sent: Sent,
): Promise<{ status: number; headers: Headers; text: string }> {
  const { status, headers, body } = await openOwnGateway(own, path, sent);
  try {
    const chunks = (await body.toArray()) as Buffer[];
    return { status, headers, text: Buffer.concat(chunks).toString("utf8") };
  } catch (error) {
    throw cannotBeAsked(error);
  }
}

function cannotBeAsked(error: unknown): TypeError {
  return new TypeError(`the gateway cannot be asked: ${(error as Error).message}`, { cause: error });
}
