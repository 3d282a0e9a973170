import {
  createInfrastructure,
  createSystem,
  eventually,
  fixtureServer,
  type startSharedServers,
  type System,
} from "@tollgate/testkit";
import pg from "pg";

type SharedServers = Awaited<ReturnType<typeof startSharedServers>>;

export const TENANTS = 100;
const TOKENS = 10_000;
const POLICIES = 1_000;
const GATEWAYS = 3;
const READY_TIMEOUT_MS = 60_000;
/** The load is a proxy in front of many clients. */
const ENV = { TOLLGATE_LOG_LEVEL: "warn", TOLLGATE_TRUSTED_PROXIES: "127.0.0.1" };
export const TOOL = "fixture__echo";
/** Whoever has it may call. */
export const CALLER_ROLE = "caller";

/** A whole system with three gateways, and as many tokens, policies and tenants as a large company has. */
export interface Stage {
  readonly system: System;
  readonly urls: readonly string[];
  /** The name, secret and tenant of the nth token. */
  caller(n: number): { readonly name: string; readonly token: string; readonly tenant: string };
  /** Asks the management API of one gateway after the other. */
  readonly api: <T>(method: string, path: string, body?: object) => Promise<T>;
}

export async function onStage<T>(shared: SharedServers, play: (stage: Stage) => Promise<T>): Promise<T> {
  const infra = createInfrastructure(shared);
  const services = ["policy", "registry", "audit", "metering", "runner", "gateway"];
  const env = Object.fromEntries(services.map((service) => [service, ENV]));
  const system = createSystem(infra, { yaml: YAML, env });
  await infra.createDatabase();
  try {
    await system.startAll();
    const more = await Promise.all(Array.from({ length: GATEWAYS - 1 }, () => system.startGateway()));
    const urls = [system.gatewayUrl, ...more.map(({ url }) => url)];
    const secret = `tg_${infra.busPrefix}_`;
    await populate(infra.adminUrl, secret);
    const stage: Stage = {
      system,
      urls,
      caller: (n) => ({ name: `caller-${n}`, token: `${secret}${n}`, tenant: `t${n % TENANTS}` }),
      api: apiOf(system, urls),
    };
    await untilReady(stage);
    return await play(stage);
  } finally {
    await system.stopAll();
    await infra.dropDatabase();
  }
}

const YAML = `
groups: [{ id: demo, name: Demo }]
mcp_servers:
  - { id: fixture, group: demo, type: node, command: ${fixtureServer}, pool: { shared: true, max: 2, calls_per_process: 64 } }
policies: []
`;

/**
 * Straight into the tables, since ten thousand changes take long; policy finds the new revision there. Of each tenant's
 * policies the first allows its callers what they call; all of them have to be looked at for each call.
 */
async function populate(adminUrl: string, secret: string): Promise<void> {
  const client = new pg.Client({ connectionString: adminUrl });
  await client.connect();
  try {
    await client.query("BEGIN");
    await client.query("SELECT revision FROM policy.revision FOR UPDATE");
    await client.query(
      `INSERT INTO policy.tokens (name, tenant, team, roles, permissions, sha256, source)
       SELECT 'caller-' || n, 't' || n % $1, 'team', ARRAY[$4], ARRAY['mcp'],
         sha256(convert_to($2 || n, 'UTF8')), 'api' FROM generate_series(0, $3 - 1) n`,
      [TENANTS, secret, TOKENS, CALLER_ROLE],
    );
    await client.query(
      `INSERT INTO policy.policies (id, tenant, effect, principals, actions, resources, source, version, updated_by)
       SELECT 'policy-' || n, 't' || n % $1, CASE WHEN n / $1 % 5 = 4 THEN 'deny' ELSE 'allow' END,
         ARRAY[CASE WHEN n < $1 THEN 'role:' || $3 ELSE 'team:team' END], ARRAY['tools/call'],
         ARRAY[CASE WHEN n < $1 THEN 'fixture:*' ELSE 'server-' || n || ':read_*' END], 'api', 1, 'revocation'
       FROM generate_series(0, $2 - 1) n`,
      [TENANTS, POLICIES, CALLER_ROLE],
    );
    await client.query("UPDATE policy.revision SET revision = revision + 1");
    await client.query("COMMIT");
  } finally {
    await client.end();
  }
}

function apiOf({ adminToken }: System, urls: readonly string[]): Stage["api"] {
  let turn = 0;
  return async (method, path, body) => {
    const url = urls[(turn += 1) % urls.length]!;
    const headers = { authorization: `Bearer ${adminToken}`, "content-type": "application/json" };
    const init = body === undefined ? { method, headers } : { method, headers, body: JSON.stringify(body) };
    const response = await fetch(`${url}/api/v1${path}`, body === undefined ? withoutType(init) : init);
    const text = await response.text();
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text.slice(0, 500)}`);
    return JSON.parse(text);
  };
}

function withoutType({ method, headers }: { method: string; headers: { authorization: string } }): RequestInit {
  return { method, headers: { authorization: headers.authorization } };
}

async function untilReady(stage: Stage): Promise<void> {
  await eventually(
    async () => {
      const { items } = await stage.api<{ items: { status: string }[] }>("GET", "/servers");
      if (items[0]?.status !== "ready") throw new Error(`the server is not ready: ${JSON.stringify(items)}`);
      for (const url of stage.urls) {
        const response = await fetch(`${url}/readyz`);
        if (response.status !== 200) throw new Error(`${url} is not ready: ${await response.text()}`);
      }
    },
    { timeoutMs: READY_TIMEOUT_MS },
  );
}
