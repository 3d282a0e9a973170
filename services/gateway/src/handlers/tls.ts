import { readFile } from "node:fs/promises";
import type { Server, ServerOptions } from "node:https";
import { createSecureContext } from "node:tls";
import { AppError } from "@tollgate/errors";
import type { Life, Log } from "@tollgate/service";
import type { GatewayConfig } from "../config.ts";

const LOOK_MS = 2_000;

type TlsSettings = Pick<GatewayConfig, "tlsCertFile" | "tlsKeyFile" | "tlsClientCaFile" | "tlsClientCertificates">;

/** What the files hold, and what follows from it. */
type Tls = Pick<ServerOptions, "cert" | "key" | "ca" | "minVersion" | "requestCert" | "rejectUnauthorized">;

/**
 * Undefined where none is configured.
 * @throws {AppError} `invalid_argument`: a file is missing, or they do not belong together
 */
export async function readTls(settings: TlsSettings): Promise<Tls | undefined> {
  const { tlsCertFile, tlsKeyFile, tlsClientCaFile, tlsClientCertificates } = settings;
  if (tlsCertFile === "" && tlsKeyFile === "" && tlsClientCertificates === "off") return undefined;
  const asksClients = tlsClientCertificates !== "off";
  const missing = tlsCertFile === "" || tlsKeyFile === "" || (asksClients && tlsClientCaFile === "");
  if (missing)
    throw new AppError("invalid_argument", "TLS needs a certificate and its key; client certificates need their CA");
  try {
    const [cert, key] = await Promise.all([readFile(tlsCertFile, "utf8"), readFile(tlsKeyFile, "utf8")]);
    const ca = asksClients ? { ca: await readFile(tlsClientCaFile, "utf8") } : {};
    // Whoever has none, or one of somebody else's, is told so by HTTP, where a client can read it; probes need none.
    const tls: Tls = { cert, key, ...ca, minVersion: "TLSv1.2", requestCert: asksClients, rejectUnauthorized: false };
    createSecureContext(tls);
    return tls;
  } catch (error) {
    throw new AppError("invalid_argument", `TLS: ${(error as Error).message}`, { cause: error });
  }
}

/** Takes over certificates that have been renewed; new connections use them. What cannot be used changes nothing. */
export function followTls(server: Server, settings: TlsSettings, options: { tls: Tls; life: Life; log: Log }): void {
  const { life, log } = options;
  let inUse = options.tls;
  let refused = "";
  let looking: Promise<void> | undefined;

  async function look(): Promise<void> {
    try {
      const read = (await readTls(settings))!;
      if (read.cert === inUse.cert && read.key === inUse.key && read.ca === inUse.ca) return;
      server.setSecureContext(read);
      inUse = read;
      log.info("the TLS certificate was read anew");
    } catch (error) {
      const { message } = error as Error;
      // Once for each problem: while a certificate is being replaced, its key may be a moment behind.
      if (message !== refused) log.error({ err: error }, "the TLS certificate cannot be used; the last one stays");
      refused = message;
    }
  }

  const timer = setInterval(() => {
    looking ??= look().finally(() => (looking = undefined));
  }, LOOK_MS);
  life.onClose("TLS files", 1_000, async () => {
    clearInterval(timer);
    await looking;
  });
}
