import type { Connector } from "@tollgate/connectors";
import type { Risk } from "@tollgate/contracts";
import type { DesiredAudit } from "./audit.ts";
import type { DesiredAgent, DesiredCertificate } from "./auth.ts";
import type { DesiredMetering } from "./metering.ts";
import type { DesiredRateCard } from "./rate-cards.ts";
import type { DesiredOauth } from "./oauth.ts";
import type { DesiredOpa } from "./opa.ts";
import type { DesiredLimit } from "./limits.ts";
import type { DesiredRiskLevels } from "./risk.ts";
import type { DesiredPolicy } from "./policies.ts";
import type { DesiredLimits, DesiredPool, DesiredSandbox, DesiredToolRule } from "./server-run.ts";
import type { DesiredSecretStores } from "./secret-stores.ts";
import type { DesiredSsl } from "./ssl.ts";
import type { DesiredTenant } from "./tenants.ts";
import type { DesiredToolPolicy } from "./tool-changes.ts";
import type { DesiredToolSet } from "./tool-sets.ts";

export const SECTIONS = [
  "control_plane",
  "plans",
  "tenants",
  "groups",
  "mcp_servers",
  "tools",
  "secrets",
  "tool_sets",
  "policies",
  "risk_levels",
  "limits",
  "audit",
  "metering",
  "rate_cards",
] as const;
export type Section = (typeof SECTIONS)[number];

export const SERVER_TYPES = ["npx", "node", "python", "uv", "command", "container", "remote"] as const;
export type ServerType = (typeof SERVER_TYPES)[number];

export const TRANSPORTS = ["auto", "streamable-http", "sse", "websocket"] as const;
/** `auto`: Streamable HTTP, else HTTP with SSE; empty where a process is started. */
export type Transport = (typeof TRANSPORTS)[number] | "";

/** What a client may offer to servers, and a server may be kept from. */
export const CLIENT_CAPABILITIES = ["sampling", "elicitation", "roots", "tasks"] as const;
export type ClientCapability = (typeof CLIENT_CAPABILITIES)[number];

export interface DesiredToken {
  readonly name: string;
  /** A secret. */
  readonly token: string;
  readonly tenant: string;
  readonly team: string;
  readonly roles: readonly string[];
  readonly permissions: readonly string[];
  /** The name of the agent that it stands for, whose tenant, team and roles it has; absent where it stands for itself. */
  readonly agent?: string;
  /** Unix milliseconds; absent means that it does not expire. */
  readonly expiresAtMs?: number;
}

export interface DesiredControlPlane {
  readonly host: string;
  readonly port: number;
  /** Without a slash at its end. Undefined where neither the file nor TOLLGATE_PUBLIC_URL says it; see publicUrlOf. */
  readonly publicUrl: string | undefined;
  /** Undefined where the gateway speaks HTTP. */
  readonly ssl: DesiredSsl | undefined;
  /** Networks whose word on clients' addresses counts. */
  readonly trustedProxies: readonly string[];
  readonly tokens: readonly DesiredToken[];
  readonly agents: readonly DesiredAgent[];
  readonly certificates: readonly DesiredCertificate[];
  /** Issuers whose access tokens are taken beside the listed tokens. */
  readonly oauth: readonly DesiredOauth[];
  /** Undefined where the policies alone decide. */
  readonly opa: DesiredOpa | undefined;
  readonly limits: {
    readonly maxConcurrentRequests: number;
    readonly requestTimeoutMs: number;
    readonly maxResponseBytes: number;
  };
}

export interface DesiredGroup {
  readonly id: string;
  readonly name: string;
}

export interface DesiredServer {
  readonly id: string;
  readonly name: string;
  readonly group: string;
  /** `connector`: declared in its group, and reached by `connector`. */
  readonly type: ServerType | "connector";
  /**
   * npx: the package, with its version; node and python: the script; uv: the script or the project's own command;
   * command: the program; container: the image; remote: empty.
   */
  readonly command: string;
  /** May hold secrets. */
  readonly args: readonly string[];
  /** May hold secrets. */
  readonly env: Readonly<Record<string, string>>;
  /** Absolute; absent where the server does not care. */
  readonly workingDir?: string;
  /** Of remote servers, else empty. May hold secrets. */
  readonly url: string;
  readonly transport: Transport;
  /** May hold secrets. */
  readonly headers: Readonly<Record<string, string>>;
  readonly startupTimeoutMs: number;
  /** Of python: an absolute file; else empty. */
  readonly requirements: string;
  /** 0 means never. */
  readonly healthCheckIntervalMs: number;
  readonly pool: DesiredPool;
  readonly limits: DesiredLimits;
  readonly sandbox: DesiredSandbox;
  readonly toolRules: readonly DesiredToolRule[];
  readonly toolPolicy: DesiredToolPolicy;
  /** What of a client's own capabilities the server may use. */
  readonly clientCapabilities: readonly ClientCapability[];
  /** The server is told who calls. */
  readonly sessionContext: boolean;
  /** Such as "production"; empty where none is declared. */
  readonly environment: string;
  /** Of its tools that say nothing else. */
  readonly risk: Risk;
  readonly enabled: boolean;
  /** What each `${NAME}` and `${secret:NAME}` in its entry stands for. */
  readonly secrets: readonly string[];
  /** Why it cannot run now: a secret that its entry names is not to be had. What is to stand there is a stand-in. */
  readonly withheld?: string;
  /** The names of the secrets among them. */
  readonly secretNames: readonly string[];
  /** The entry as the file has it: `${NAME}` unresolved; "(hidden)" where there may be a plain secret. May be stored. */
  readonly written: Readonly<Record<string, unknown>>;
  /** Absent of all other types. May hold secrets. */
  readonly connector?: Connector;
}

/** What the user's file asks for. Resolved values live in memory only: nothing of this is to be stored but `written`. */
export interface DesiredState {
  readonly controlPlane: DesiredControlPlane;
  /** The first stands for all that are not listed. */
  readonly tenants: readonly DesiredTenant[];
  readonly groups: readonly DesiredGroup[];
  readonly servers: readonly DesiredServer[];
  readonly secretStores: DesiredSecretStores;
  readonly toolSets: readonly DesiredToolSet[];
  readonly policies: readonly DesiredPolicy[];
  readonly riskLevels: DesiredRiskLevels;
  readonly limits: readonly DesiredLimit[];
  readonly audit: DesiredAudit;
  readonly metering: DesiredMetering;
  readonly rateCards: readonly DesiredRateCard[];
  /** Those that were asked for, as they are written, with the overlay's entries. Plain secrets may be in it. */
  readonly sections: Readonly<Record<string, unknown>>;
  /** What is allowed but unwise, each with its place; for the log. */
  readonly warnings: readonly string[];
}
