import type { Connector } from "@tollgate/connectors";
import type { registryV1 } from "@tollgate/contracts";

/** What a runner has to know of a server; docstrings of the parts are in registry.proto. Sizes in bytes, 0: no limit. */
export interface ServerSpec {
  readonly serverId: string;
  readonly group: string;
  readonly type: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly workingDir: string;
  /** Of python: a requirements file; else "". */
  readonly requirements: string;
  /** Of a remote server; else "". */
  readonly url: string;
  readonly transport: string;
  readonly headers: Readonly<Record<string, string>>;
  /** Of an API that is a server of tools; else absent. */
  readonly connector?: Connector;
  readonly startupTimeoutMs: number;
  /** 0: never. */
  readonly healthCheckIntervalMs: number;
  /** Which of sampling, elicitation, roots and tasks of a client's own capabilities it may use. */
  readonly clientCapabilities: readonly string[];
  /** It is told in `_meta` who calls. */
  readonly sessionContext: boolean;
  readonly pool: PoolSpec;
  readonly limits: LimitsSpec;
  readonly sandbox: SandboxSpec;
  readonly tools: ReadonlyMap<string, ToolRule>;
  /** Of the secrets in what is above; and what must not be written down of it. */
  readonly secretNames: readonly string[];
  readonly secrets: readonly string[];
  readonly specHash: string;
}

export interface PoolSpec {
  readonly mode: "multiplexed" | "exclusive" | "session";
  readonly shared: boolean;
  readonly min: number;
  readonly max: number;
  readonly maxPerTenant: number;
  readonly idleTimeoutMs: number;
  readonly callsPerProcess: number;
  readonly queue: number;
  readonly queueTimeoutMs: number;
}

export interface LimitsSpec {
  readonly memoryBytes: number;
  readonly cpuMillis: number;
  readonly openFiles: number;
  readonly processes: number;
  readonly outputBytes: number;
  readonly callTimeoutMs: number;
  readonly concurrency: number;
}

export interface SandboxSpec {
  readonly mode: "required" | "auto" | "off";
  readonly network: boolean;
  readonly read: readonly string[];
  readonly write: readonly string[];
}

export interface ToolRule {
  readonly concurrency: number;
  readonly callTimeoutMs: number;
  readonly fallbacks: readonly { readonly server: string; readonly tool: string }[];
  readonly cachedResultMs: number;
}

/** Nothing is started for it. */
export const isRemote = ({ url, connector }: Pick<ServerSpec, "url" | "connector">): boolean =>
  url !== "" || connector !== undefined;

const MODES = ["multiplexed", "exclusive", "session"] as const;
const SANDBOXES = ["required", "auto", "off"] as const;

/** Words that a newer registry may have and this runner does not know become the careful ones. */
export function toServerSpec(assignment: registryV1.Assignment): ServerSpec {
  const { pool, limits, sandbox, toolRules, connector, ...rest } = assignment;
  if (!pool || !limits || !sandbox) throw new Error(`the assignment of ${assignment.serverId} lacks its pool`);
  return {
    ...rest,
    ...(connector === "" ? {} : { connector: JSON.parse(connector) as Connector }),
    pool: { ...pool, mode: MODES.find((each) => each === pool.mode) ?? "exclusive" },
    limits: { ...limits, memoryBytes: Number(limits.memoryBytes), outputBytes: Number(limits.outputBytes) },
    sandbox: { ...sandbox, mode: SANDBOXES.find((each) => each === sandbox.mode) ?? "required" },
    tools: new Map(toolRules.map(({ tool, ...rule }) => [tool, rule])),
  };
}
