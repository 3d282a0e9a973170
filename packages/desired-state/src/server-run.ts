import { dirname, resolve } from "node:path";
import { type Risk, RISKS } from "@tollgate/contracts";
import { z } from "zod";
import { boolean, number } from "./scalars.ts";

// How a server's processes are kept: pools, limits, isolation, and rules for single tools.

const MIB = 1024 * 1024;
const DAY_SECONDS = 86_400;
const FOLDERS_MAX = 64;
const FALLBACKS_MAX = 8;
const PATH_MAX_CHARS = 4_096;
const TOOL_NAME_MAX_CHARS = 256;

const POOL_MODES = ["multiplexed", "exclusive", "session"] as const;
export type PoolMode = (typeof POOL_MODES)[number];
const SANDBOX_MODES = ["required", "auto", "off"] as const;
export type SandboxMode = (typeof SANDBOX_MODES)[number];

const whole = (min: number, max: number) => number(z.number().int().min(min).max(max));
const seconds = number(z.number().positive().max(DAY_SECONDS));
const folder = z.string().min(1, "is empty").max(PATH_MAX_CHARS);

export const poolSchema = z
  .strictObject({
    mode: z.enum(POOL_MODES).default("multiplexed"),
    shared: boolean.default(false),
    min: whole(0, 256).default(1),
    /** 16 where it is not given; of a remote server 256, since a connection is less than a process. */
    max: whole(1, 4_096).optional(),
    /** Three quarters of `max` where it is not given: no tenant has them all. All of a shared pool. */
    max_per_tenant: whole(1, 4_096).optional(),
    idle_timeout: seconds.default(600),
    calls_per_process: whole(1, 4_096).optional(),
    queue: whole(0, 100_000).default(2_000),
    queue_timeout: seconds.default(30),
  })
  .superRefine((pool, context) => {
    const { mode, shared, min, max, max_per_tenant: perTenant, calls_per_process: calls } = pool;
    const fail = (path: string, message: string) => context.addIssue({ code: "custom", path: [path], message });
    // A max below 1 is a mistake of its own.
    if (max !== undefined && max > 0 && min > max) fail("min", "is more than max");
    if (max !== undefined && perTenant !== undefined && perTenant > max) fail("max_per_tenant", "is more than max");
    if (shared && mode === "session")
      fail("shared", "does not go with the mode session: a session is its tenant's own");
    if (shared && perTenant !== undefined)
      fail("max_per_tenant", "does not go with shared: what all tenants share is no single one's");
    if (mode === "exclusive" && calls !== undefined)
      fail("calls_per_process", "does not go with the mode exclusive: a process has one call at a time");
  });

export const limitsSchema = z.strictObject({
  memory_mb: number(z.number().min(16).max(1_048_576)).default(2_048),
  /** Cores; without it, what the machine has. */
  cpu: number(z.number().min(0.05).max(1_024)).optional(),
  open_files: whole(16, 1_048_576).default(4_096),
  processes: whole(1, 65_536).default(128),
  output_mb: number(z.number().min(0.01).max(6)).default(6),
  call_timeout: seconds.optional(),
  concurrency: whole(1, 100_000).optional(),
});

export const sandboxSchema = z.strictObject({
  mode: z.enum(SANDBOX_MODES).default("auto"),
  network: boolean.default(true),
  read: z.array(folder).max(FOLDERS_MAX).default([]),
  write: z.array(folder).max(FOLDERS_MAX).default([]),
});

export const fallbackSchema = z.strictObject({
  server: z.string().min(1, "is empty"),
  /** The same name where it is not given. */
  tool: z.string().min(1, "is empty").max(TOOL_NAME_MAX_CHARS).optional(),
});

export const toolRuleSchema = z.strictObject({
  concurrency: whole(1, 100_000).optional(),
  call_timeout: seconds.optional(),
  fallback: z.array(fallbackSchema).max(FALLBACKS_MAX).default([]),
  cached_result: seconds.optional(),
  risk: z.enum(RISKS).optional(),
});

export interface DesiredPool {
  readonly mode: PoolMode;
  readonly shared: boolean;
  readonly min: number;
  readonly max: number;
  readonly maxPerTenant: number;
  readonly idleTimeoutMs: number;
  readonly callsPerProcess: number;
  readonly queue: number;
  readonly queueTimeoutMs: number;
}

/** 0 means no limit. */
export interface DesiredLimits {
  readonly memoryBytes: number;
  /** Thousandths of a core. */
  readonly cpuMillis: number;
  readonly openFiles: number;
  readonly processes: number;
  readonly outputBytes: number;
  readonly callTimeoutMs: number;
  readonly concurrency: number;
}

export interface DesiredSandbox {
  readonly mode: SandboxMode;
  readonly network: boolean;
  /** Absolute. */
  readonly read: readonly string[];
  readonly write: readonly string[];
}

export interface DesiredToolRule {
  readonly tool: string;
  /** 0 means none of its own. */
  readonly concurrency: number;
  readonly callTimeoutMs: number;
  readonly fallbacks: readonly { readonly server: string; readonly tool: string }[];
  /** 0 means that results are not kept. */
  readonly cachedResultMs: number;
  /** Empty: the server's. */
  readonly risk: Risk | "";
}

/** 0 where it is not given, and only there: it means no limit. */
const milliseconds = (value?: number): number => (value === undefined ? 0 : Math.max(1, Math.round(value * 1_000)));

const PROCESSES_MAX = 16;
const CONNECTIONS_MAX = 256;
const CALLS_PER_PROCESS = 256;

export function toPool(pool: z.infer<typeof poolSchema>, { remote }: { remote: boolean }): DesiredPool {
  const { mode, shared, min, queue } = pool;
  const max = pool.max ?? Math.max(min, pool.max_per_tenant ?? 0, remote ? CONNECTIONS_MAX : PROCESSES_MAX);
  return {
    mode,
    shared,
    min,
    max,
    maxPerTenant: shared ? max : (pool.max_per_tenant ?? Math.ceil((max * 3) / 4)),
    idleTimeoutMs: milliseconds(pool.idle_timeout),
    callsPerProcess: mode === "exclusive" ? 1 : (pool.calls_per_process ?? CALLS_PER_PROCESS),
    queue,
    queueTimeoutMs: milliseconds(pool.queue_timeout),
  };
}

export function toLimits(limits: z.infer<typeof limitsSchema>): DesiredLimits {
  return {
    memoryBytes: Math.round(limits.memory_mb * MIB),
    cpuMillis: Math.round((limits.cpu ?? 0) * 1_000),
    openFiles: limits.open_files,
    processes: limits.processes,
    outputBytes: Math.round(limits.output_mb * MIB),
    callTimeoutMs: milliseconds(limits.call_timeout),
    concurrency: limits.concurrency ?? 0,
  };
}

/** Relative folders start at the file's own. */
export function toSandbox(sandbox: z.infer<typeof sandboxSchema>, file: string): DesiredSandbox {
  const absolute = (path: string) => resolve(dirname(resolve(file)), path);
  return { ...sandbox, read: sandbox.read.map(absolute), write: sandbox.write.map(absolute) };
}

export function toToolRules(rules: Readonly<Record<string, z.infer<typeof toolRuleSchema>>>): DesiredToolRule[] {
  return Object.entries(rules).map(([tool, rule]) => ({
    tool,
    concurrency: rule.concurrency ?? 0,
    callTimeoutMs: milliseconds(rule.call_timeout),
    fallbacks: rule.fallback.map((each) => ({ server: each.server, tool: each.tool ?? tool })),
    cachedResultMs: milliseconds(rule.cached_result),
    risk: rule.risk ?? "",
  }));
}
