import type { ClientSide, registryV1 } from "@tollgate/contracts";
import { shareOf } from "@tollgate/fair-queue";
import { parseFrame, type RequestFrame, type ResponseFrame } from "@tollgate/mcp";
import { eventually, fixtureServer, testLog } from "@tollgate/testkit";
import { afterEach, beforeEach, expect } from "vitest";
import { configSchema } from "../src/config.ts";
import { toServerSpec } from "../src/domain/server-spec.ts";
import { createCommandResolver } from "../src/launch/command.ts";
import { type Lease, openPool, type Pool, type PoolOptions, type ServerReport } from "../src/pool/pool.ts";
import { createSpawning, type Spawning } from "../src/pool/spawning.ts";
import { assignment, poolOf } from "./assigning-registry.ts";
import { useContainment } from "./containment-fixture.ts";
import { useTempDir } from "./temp-dir.ts";
import { SETTINGS } from "./test-config.ts";

/** A pool of the fixture server, but for these. */
export interface Opening extends Omit<Partial<registryV1.Assignment>, "pool"> {
  readonly pool?: Partial<registryV1.Pool>;
  readonly spawning?: Spawning;
  readonly report?: PoolOptions["report"];
}

export interface News {
  readonly state: string;
  readonly tenant: string | undefined;
  readonly reason: string | undefined;
}

export interface Client extends Partial<ClientSide> {
  readonly session?: string;
  readonly principal?: string;
  readonly tool?: string;
  readonly signal?: AbortSignal;
}

export interface Pools {
  readonly dir: string;
  /** What the pools of a test have reported. */
  readonly reports: ServerReport[];
  /** What became of their processes. */
  readonly news: readonly News[];
  open(this: void, opening?: Opening): Pool;
  ready(this: void): Promise<void>;
  /** For a client that cannot be asked anything, unless it says otherwise. */
  acquire(this: void, pool: Pool, tenant: string, client?: Client): Promise<Lease>;
  /** A tool call's answer: its text, or that it was lost. */
  callTool(this: void, lease: Lease, name: string, args?: object): Promise<string>;
  /** The same with a connection that is given back. */
  use(this: void, pool: Pool, tenant: string, name: string, args?: object): Promise<string>;
  stopRunner(this: void): void;
}

/** Pools with real processes, which end with each test. */
export function usePools(): Pools {
  const dir = useTempDir();
  const containment = useContainment(dir);
  const pools: Pool[] = [];
  const reports: ServerReport[] = [];
  const news: News[] = [];
  let held: Awaited<typeof containment>;
  let stopping: AbortController;
  beforeEach(async () => {
    held = await containment;
    stopping = new AbortController();
    reports.length = 0;
    news.length = 0;
  });
  afterEach(async () => {
    stopping.abort();
    await Promise.all(pools.splice(0).map((pool) => pool.close()));
  });

  function open({ pool: poolFields, spawning, report, ...fields }: Opening = {}): Pool {
    const config = { ...configSchema.parse(SETTINGS), baseEnv: process.env };
    const pool = openPool({
      spec: toServerSpec(assignment({ command: fixtureServer, ...fields, pool: poolOf(poolFields) })),
      config,
      spawning: spawning ?? createSpawning(config),
      generation: 0,
      news: {
        tell: (state, tenant, reason) => news.push({ state, tenant, reason }),
        secretsRead: (tenant) => news.push({ state: "secrets read", tenant, reason: undefined }),
      },
      resolveCommand: createCommandResolver({ installDir: dir, baseEnv: process.env }),
      containment: held,
      signal: stopping.signal,
      log: testLog,
      report: report ?? ((found) => reports.push(found)),
      listenerOf: () => ({ onNotice: () => undefined, onQuestion: () => undefined }),
      onResourceUpdated: () => undefined,
    });
    pools.push(pool);
    return pool;
  }

  async function use(pool: Pool, tenant: string, name: string, args: object = {}): Promise<string> {
    const lease = await acquire(pool, tenant);
    try {
      return await callTool(lease, name, args);
    } finally {
      lease.release();
    }
  }

  return {
    dir,
    reports,
    news,
    open,
    ready: () => eventually(() => expect(reports.at(-1)).toMatchObject({ status: "ready" })),
    acquire,
    callTool,
    use,
    stopRunner: () => stopping.abort(),
  };
}

const textOf = ({ result, text }: ResponseFrame): string => (result as any)?.content?.[0].text ?? text;

function callTool({ connection }: Lease, name: string, args: object = {}): Promise<string> {
  const message = { jsonrpc: "2.0", id: 1, method: "tools/call", params: { name, arguments: args } };
  const parsed = parseFrame(JSON.stringify(message));
  if (!parsed.ok) throw new Error(parsed.reason);
  const { frame } = parsed;
  return new Promise((resolve) => {
    connection.call(frame as RequestFrame, {
      owner: "",
      onNotice: () => undefined,
      onQuestion: () => undefined,
      onCannotAsk: () => undefined,
      onAnswer: (got) => resolve(got.kind === "lost" ? `lost: ${got.reason}` : textOf(got.frame)),
    });
  });
}

function acquire(pool: Pool, tenant: string, client: Client = {}): Promise<Lease> {
  const { session, principal = "p", tool = "echo", signal, ...side } = client;
  const facts = { tenant, principal, protocol: "2025-11-25", method: "tools/call", tool };
  return pool.acquire({
    facts: session === undefined ? facts : { ...facts, session },
    client: { era: "legacy", capabilities: {}, ...side },
    apart: false,
    share: shareOf(tenant),
    ...(signal === undefined ? {} : { signal }),
  });
}
