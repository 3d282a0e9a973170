import { dirname, resolve } from "node:path";
import { z } from "zod";
import { isNetwork } from "./conditions.ts";

// Messages never repeat a value: it may have come from the environment and be a secret.

const TEXT_MAX_CHARS = 4_096;
const PROXIES_MAX = 64;

/** The gateway's own TLS. Files are PEM, and absolute here. */
export interface DesiredSsl {
  readonly certFile: string;
  readonly keyFile: string;
  /** Whose client certificates are taken; empty where none are. */
  readonly clientCaFile: string;
  readonly clientCertificates: "off" | "optional" | "required";
}

const file = z.string().min(1, "is empty").max(TEXT_MAX_CHARS);

const sslShape = z.strictObject({
  cert_file: file,
  key_file: file,
  client_ca_file: file.optional(),
  client_certificates: z.enum(["off", "optional", "required"]).default("off"),
});

export const sslSchema = sslShape.superRefine(({ client_ca_file, client_certificates }, context) => {
  const mistake = (message: string) => context.addIssue({ code: "custom", path: ["client_ca_file"], message });
  if (client_ca_file === undefined && client_certificates !== "off") mistake("is needed for client_certificates");
  if (client_ca_file !== undefined && client_certificates === "off")
    mistake("goes with client_certificates: optional or required only; nothing would heed it");
});

/** Who may say with X-Forwarded-For where a request comes from. */
export const trustedProxiesSchema = z
  .array(z.string().refine(isNetwork, "has to be an address or a network such as 10.0.0.0/8"))
  .max(PROXIES_MAX)
  .default([]);

export const SSL_KEYS: Readonly<Record<string, readonly string[]>> = {
  "control_plane.ssl": Object.keys(sslShape.shape),
};

export function toSsl(parsed: z.infer<typeof sslSchema>, configurationFile: string): DesiredSsl {
  const absolute = (path: string) => resolve(dirname(resolve(configurationFile)), path);
  return {
    certFile: absolute(parsed.cert_file),
    keyFile: absolute(parsed.key_file),
    clientCaFile: parsed.client_ca_file === undefined ? "" : absolute(parsed.client_ca_file),
    clientCertificates: parsed.client_certificates,
  };
}
