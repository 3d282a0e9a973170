import { type DesiredControlPlane, publicUrlOf } from "@tollgate/desired-state";
import { AppError } from "@tollgate/errors";
import type { Secrets } from "./secrets.ts";

/** In the order in which they are started; those of one stage at the same time. */
export const STAGES = [
  ["policy", "registry", "audit", "metering"],
  ["runner", "gateway"],
] as const;
export type ServiceName = (typeof STAGES)[number][number];
export const SERVICES: readonly ServiceName[] = STAGES.flat();
export const DATABASE_SERVICES = ["policy", "registry", "audit", "metering"] as const;

/** Where a service listens, and how the others reach it. */
export interface Place {
  /** The address it binds. */
  readonly bind: string;
  /** The host under which others reach it. */
  readonly host: string;
  readonly httpPort: number;
  /** 0 for the services that have no gRPC side. */
  readonly grpcPort: number;
}

export interface PlanOptions {
  readonly secrets: Secrets;
  readonly places: Readonly<Record<ServiceName, Place>>;
  readonly natsUrl: string;
  /** Of a superuser; the services get URLs of their own roles. */
  readonly databaseUrl: string;
  readonly configFile: string;
  readonly filesDir: string;
  readonly controlPlane: DesiredControlPlane;
  readonly logLevel: string;
}

/** The larger of what the stream carries in one message and what a runner reads of a server by default. */
const RESPONSE_MAX_BYTES = 6 * 1024 * 1024;

/** Each service's settings: what it needs to start alone, and no secret of another's. */
export function planEnvironments(options: PlanOptions): Record<ServiceName, Record<string, string>> {
  const { secrets, places, natsUrl, controlPlane } = options;
  const common = (name: ServiceName) => ({
    TOLLGATE_SERVICE_KEY: secrets.serviceKey,
    TOLLGATE_HOST: places[name].bind,
    TOLLGATE_HTTP_PORT: String(places[name].httpPort),
    TOLLGATE_LOG_LEVEL: options.logLevel,
  });
  const stored = (name: (typeof DATABASE_SERVICES)[number]) => ({
    ...common(name),
    TOLLGATE_GRPC_PORT: String(places[name].grpcPort),
    TOLLGATE_DATABASE_URL: roleUrl(options.databaseUrl, {
      role: `tollgate_${name}`,
      password: secrets.rolePasswords[name],
    }),
  });
  const address = (name: ServiceName) => `${places[name].host}:${places[name].grpcPort}`;
  const { limits, oauth } = controlPlane;
  const { bind, httpPort } = places.gateway;
  // One for both: policy takes the tokens that the gateway tells clients to get.
  const publicUrl = publicUrlOf({ ...controlPlane, host: bind, port: httpPort });
  return {
    policy: {
      ...stored("policy"),
      TOLLGATE_NATS_URL: natsUrl,
      TOLLGATE_CONFIG_FILE: options.configFile,
      TOLLGATE_TOKEN: secrets.token,
      TOLLGATE_ADMIN_TOKEN: secrets.adminToken,
      TOLLGATE_PUBLIC_URL: publicUrl,
      TOLLGATE_METERING_ADDRESS: address("metering"),
    },
    registry: {
      ...stored("registry"),
      TOLLGATE_NATS_URL: natsUrl,
      TOLLGATE_CONFIG_FILE: options.configFile,
      TOLLGATE_FILES_DIR: options.filesDir,
      TOLLGATE_SECRET_KEYS: secrets.secretKeys,
    },
    audit: {
      ...stored("audit"),
      TOLLGATE_CONFIG_FILE: options.configFile,
      TOLLGATE_NATS_URL: natsUrl,
      TOLLGATE_RECORDING_KEYS: secrets.recordingKeys,
      TOLLGATE_SIGNING_SECRET: secrets.signingSecret,
    },
    metering: {
      ...stored("metering"),
      TOLLGATE_CONFIG_FILE: options.configFile,
      TOLLGATE_NATS_URL: natsUrl,
    },
    runner: {
      ...common("runner"),
      TOLLGATE_NATS_URL: natsUrl,
      TOLLGATE_RECORDING_KEYS: secrets.recordingKeys,
      TOLLGATE_REGISTRY_ADDRESS: address("registry"),
      TOLLGATE_RESPONSE_MAX_BYTES: String(Math.min(limits.maxResponseBytes, RESPONSE_MAX_BYTES)),
    },
    gateway: {
      ...common("gateway"),
      TOLLGATE_NATS_URL: natsUrl,
      TOLLGATE_POLICY_ADDRESS: address("policy"),
      TOLLGATE_REGISTRY_ADDRESS: address("registry"),
      TOLLGATE_AUDIT_ADDRESS: address("audit"),
      TOLLGATE_METERING_ADDRESS: address("metering"),
      TOLLGATE_REQUEST_TIMEOUT_MS: String(limits.requestTimeoutMs),
      TOLLGATE_CALLS_MAX: String(limits.maxConcurrentRequests),
      ...tlsOf(controlPlane),
      TOLLGATE_TRUSTED_PROXIES: controlPlane.trustedProxies.join(","),
      TOLLGATE_PUBLIC_URL: publicUrl,
      TOLLGATE_AUTHORIZATION_SERVERS: oauth.map(({ issuer }) => issuer).join(","),
      TOLLGATE_SCOPES: [...new Set(oauth.flatMap(({ requiredScopes }) => requiredScopes))].join(","),
    },
  };
}

function tlsOf({ ssl }: DesiredControlPlane): Record<string, string> {
  if (ssl === undefined) return {};
  return {
    TOLLGATE_TLS_CERT_FILE: ssl.certFile,
    TOLLGATE_TLS_KEY_FILE: ssl.keyFile,
    TOLLGATE_TLS_CLIENT_CA_FILE: ssl.clientCaFile,
    TOLLGATE_TLS_CLIENT_CERTIFICATES: ssl.clientCertificates,
  };
}

function roleUrl(databaseUrl: string, { role, password }: { role: string; password: string }): string {
  const url = new URL(databaseUrl);
  url.username = role;
  url.password = password;
  return url.toString();
}

/** For `node --env-file`: it knows no escapes, so each value stands in quotes that it holds none of. */
export function toEnvFile(environment: Readonly<Record<string, string>>): string {
  const lines = Object.entries(environment).map(([name, value]) => {
    // Between double quotes alone, `\n` would become a line's end.
    const quote = ["'", "`", '"'].find((each) => !value.includes(each));
    if (quote === undefined) throw new AppError("invalid_argument", `${name} holds every kind of quotes`);
    return `${name}=${quote}${value}${quote}\n`;
  });
  return lines.join("");
}
