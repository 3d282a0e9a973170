import { X509Certificate } from "node:crypto";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import type { IncomingMessage } from "node:http";
import { request, type RequestOptions } from "node:https";
import { Readable } from "node:stream";
import { rootCertificates } from "node:tls";

/** Where a gateway listens, and what its certificate is known by where it speaks TLS. */
export interface Gateway {
  /** Without a path. */
  readonly url: string;
  /** PEM file of the certificate itself, which need not have the name of the machine: exactly that one is trusted. */
  readonly certFile?: string | undefined;
  /** PEM file of an authority that is trusted beside those that everybody knows. */
  readonly caFile?: string | undefined;
}

interface Sent {
  readonly method: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string;
  readonly signal: AbortSignal;
}

/** @throws {TypeError} when nobody answers, as fetch does */
export async function openGateway(
  gateway: Gateway,
  path: string,
  sent: Sent,
): Promise<{ status: number; headers: Headers; body: Readable }> {
  const { url, certFile, caFile } = gateway;
  if (!url.startsWith("https:") || (certFile === undefined && caFile === undefined)) {
    const { status, headers, body } = await fetch(`${url}${path}`, sent);
    return { status, headers, body: body === null ? Readable.from([]) : Readable.fromWeb(body) };
  }
  try {
    const asked = request(`${url}${path}`, { ...sent, agent: false, ...trustOf(gateway) });
    asked.end(sent.body);
    const [response] = (await once(asked, "response")) as [IncomingMessage];
    const headers = new Headers(Object.entries(response.headers).map(([name, value]) => [name, String(value)]));
    return { status: response.statusCode ?? 0, headers, body: response };
  } catch (error) {
    throw cannotBeAsked(error);
  }
}

function trustOf({ certFile, caFile }: Gateway): RequestOptions {
  if (certFile === undefined) return { ca: [...rootCertificates, readFileSync(caFile!, "utf8")] };
  const own = readFileSync(certFile, "utf8");
  const { fingerprint256 } = new X509Certificate(own);
  return {
    ca: own,
    allowPartialTrustChain: true,
    checkServerIdentity: (_host, certificate) =>
      certificate.fingerprint256 === fingerprint256 ? undefined : new Error(`has another certificate than ${certFile}`),
  };
}

/** The same, with the answer as a whole. */
export async function askGateway(
  gateway: Gateway,
  path: string,
  sent: Sent,
): Promise<{ status: number; headers: Headers; text: string }> {
  const { status, headers, body } = await openGateway(gateway, path, sent);
  return { status, headers, text: await textOf(body) };
}

/** @throws {TypeError} when it breaks off */
export async function textOf(body: Readable): Promise<string> {
  try {
    return Buffer.concat((await body.toArray()) as Buffer[]).toString("utf8");
  } catch (error) {
    throw cannotBeAsked(error);
  }
}

function cannotBeAsked(error: unknown): TypeError {
  return new TypeError(`the gateway cannot be asked: ${(error as Error).message}`, { cause: error });
}
