import { type Config, envSchema } from "@tollgate/service";
import { z } from "zod";

const list = z
  .string()
  .default("")
  .transform((text) =>
    text
      .split(",")
      .map((each) => each.trim())
      .filter((each) => each !== ""),
  );

export const configSchema = z.object({
  logLevel: envSchema.logLevel,
  serviceKey: envSchema.serviceKey,
  host: envSchema.host,
  httpPort: envSchema.port(8080),
  natsUrl: envSchema.url,
  busPrefix: envSchema.busPrefix,
  policyAddress: envSchema.address("127.0.0.1:9081"),
  registryAddress: envSchema.address("127.0.0.1:9082"),
  auditAddress: envSchema.address("127.0.0.1:9084"),
  meteringAddress: envSchema.address("127.0.0.1:9085"),
  /** A call that has no answer after this long is answered with an error. */
  requestTimeoutMs: envSchema.positiveInt(60_000),
  /** A request that has not wholly arrived after this long is cut off. */
  receiveTimeoutMs: envSchema.positiveInt(30_000),
  connectionsMax: envSchema.positiveInt(10_000),
  bodyMaxBytes: envSchema.positiveInt(4 * 1024 * 1024),
  /** Calls under way in this gateway. */
  callsMax: envSchema.positiveInt(5_000),
  /** Of them, calls of one tenant, and calls of one tenant that wait to be; where its plan says nothing else. */
  callsPerTenantMax: envSchema.positiveInt(1_000),
  callsWaitingPerTenantMax: envSchema.positiveInt(256),
  /** How long a call waits to be let in before it is refused. */
  admissionWaitMs: envSchema.positiveInt(2_000),
  /** PEM files; with both, this gateway speaks TLS. They are read anew when they change. */
  tlsCertFile: z.string().default(""),
  tlsKeyFile: z.string().default(""),
  /** PEM file of the authorities whose client certificates are taken. */
  tlsClientCaFile: z.string().default(""),
  tlsClientCertificates: z.enum(["off", "optional", "required"]).default("off"),
  /** Networks whose X-Forwarded-For counts, separated by commas. */
  trustedProxies: list,
  /** Origins of browser pages that may call, beside those of this machine; separated by commas. */
  allowedOrigins: list,
  /** Under which clients reach this gateway, for what they are told of it; empty means this host and port. */
  publicUrl: z
    .union([z.literal(""), z.url({ protocol: /^https?$/ })])
    .default("")
    .transform((url) => url.replace(/\/+$/, "")),
  /** Issuers of access tokens, separated by commas. */
  authorizationServers: list,
  /** All scopes that MCP needs of them, separated by commas. */
  scopes: list,
  /** Shown by the first log line when it is set: the screen of an installation that has no other, such as compose. */
  welcomeFile: z.string().default(""),
});

export type GatewayConfig = Config<typeof configSchema>;
