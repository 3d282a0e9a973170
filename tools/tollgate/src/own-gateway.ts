import { X509Certificate } from "node:crypto";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import type { IncomingMessage } from "node:http";
import { request } from "node:https";

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
export async function askOwnGateway(
  { url, certFile }: OwnGateway,
  path: string,
  sent: Sent,
): Promise<{ status: number; headers: Headers; text: string }> {
  if (certFile === undefined) {
    const response = await fetch(`${url}${path}`, sent);
    return { status: response.status, headers: response.headers, text: await response.text() };
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
    const chunks = (await response.toArray()) as Buffer[];
    const headers = new Headers(Object.entries(response.headers).map(([name, value]) => [name, String(value)]));
    return { status: response.statusCode ?? 0, headers, text: Buffer.concat(chunks).toString("utf8") };
  } catch (error) {
    throw new TypeError(`the gateway cannot be asked: ${(error as Error).message}`, { cause: error });
  }
}
