// What an answer of this service costs over gRPC, without the gateway's cache: `npm run request-cost -w services/policy`.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { policyV1 } from "@tollgate/contracts";
import { callUnary, openLife } from "@tollgate/service";
import { createInfrastructure, eventually, measureSerial, startSharedServers, testLog } from "@tollgate/testkit";
import pg from "pg";
import { startPolicyProcess } from "./policy-process.ts";

const CALLS = 4_000;
const CHANGES = 100;
/** What the secrets begin with: one that was revoked stays so. */
const secretsOf = ({ tenants }: Pick<Size, "tenants">): string => `tg_request_cost_${tenants}_`;

interface Size {
  readonly tenants: number;
  readonly policies: number;
  readonly tokens: number;
}

/** A third of a tenant's policies has conditions; all have to be looked at for its callers. */
async function populate(adminUrl: string, { tenants, policies, tokens }: Size): Promise<void> {
  const client = new pg.Client({ connectionString: adminUrl });
  await client.connect();
  try {
    await client.query("BEGIN");
    await client.query("SELECT revision FROM policy.revision FOR UPDATE");
    await client.query("DELETE FROM policy.policies WHERE source = 'api'");
    await client.query("DELETE FROM policy.tokens WHERE source = 'api'");
    await client.query(
      `INSERT INTO policy.tokens (name, tenant, team, roles, permissions, sha256, source)
       SELECT 'caller-' || n, 't' || n % $1, 'team', ARRAY['caller'], ARRAY['mcp'],
         sha256(convert_to($2 || n, 'UTF8')), 'api' FROM generate_series(0, $3 - 1) n`,
      [tenants, secretsOf({ tenants }), tokens],
    );
    await client.query(
      `INSERT INTO policy.policies (id, tenant, effect, principals, actions, resources, conditions, source, version,
         updated_by)
       SELECT 'policy-' || n, 't' || n % $1, CASE WHEN n / $1 % 5 = 4 THEN 'deny' ELSE 'allow' END, ARRAY['role:caller'],
         ARRAY['tools/call'], ARRAY['server-' || n / $1 || ':read_*'],
         CASE WHEN n / $1 % 3 = 2 THEN '{"environment": ["production"], "network": ["10.0.0.0/8"]}' ELSE '{}' END::jsonb,
         'api', 1, 'cost' FROM generate_series(0, $2 - 1) n`,
      [tenants, policies],
    );
    await client.query("UPDATE policy.revision SET revision = revision + 1");
    await client.query("COMMIT");
  } finally {
    await client.end();
  }
}

const shared = await startSharedServers("embedded");
const infra = createInfrastructure(shared);
const life = openLife(testLog);
const folder = await mkdtemp(join(tmpdir(), "tollgate-request-cost-"));
await infra.createDatabase();
try {
  const policy = await startPolicyProcess(infra, { folder, databaseUrl: infra.databaseUrl("policy"), life });
  await measure({ tenants: 1, policies: 50, tokens: 100 });
  await measure({ tenants: 100, policies: 1_000, tokens: 10_000 });

  async function measure(size: Size): Promise<void> {
    await populate(infra.adminUrl, size);
    const authenticate = (n: number): Promise<policyV1.Principal> => whoIs(`${secretsOf(size)}${n}`);
    const last = await eventually(() => authenticate(size.tokens - 1), { timeoutMs: 60_000 });
    await eventually(async () => {
      const { decisions } = await decide(last, 0);
      if (!decisions[0]!.allow) throw new Error(decisions[0]!.reason);
    });
    const principals: policyV1.Principal[] = [];
    for (let n = 0; n < size.tokens; n += Math.ceil(size.tokens / 1_000)) principals.push(await authenticate(n));
    const who = await measureSerial(async (n) => void (await authenticate((n * 7) % size.tokens)), CALLS);
    const may = await measureSerial(async (n) => void (await decide(principals[n % principals.length]!, n)), CALLS);
    const token = await measureSerial((n) => revoke(n), Math.min(CHANGES, size.tokens / 2));
    const rule = await measureSerial(async (n) => void (await policy.change(`changed-${n % 2}-${n}`)), CHANGES);
    const line = Object.entries({
      authenticate: who,
      decide: may,
      "a token's revocation": token,
      "a policy's change": rule,
    })
      .map(([name, { p50Ms, p99Ms }]) => `${name} p50 ${p50Ms.toFixed(2)} ms, p99 ${p99Ms.toFixed(2)} ms`)
      .join("; ");
    process.stdout.write(`${size.policies} policies, ${size.tokens} tokens, ${size.tenants} tenants: ${line}\n`);
  }

  function unary() {
    return { metadata: policy.metadata, timeoutMs: 5_000, service: "policy" };
  }

  async function whoIs(token: string): Promise<policyV1.Principal> {
    const request = policyV1.AuthenticateRequest.fromPartial({ token });
    return (await callUnary(policy.client.authenticate.bind(policy.client), request, unary())).principal!;
  }

  function decide(principal: policyV1.Principal, n: number): Promise<policyV1.DecideResponse> {
    const resources = [{ server: "server-0", tool: `read_${n}`, environment: "production" }];
    const request = { principal, action: "tools/call", address: "10.1.2.3", resources };
    return callUnary(policy.client.decide.bind(policy.client), policyV1.DecideRequest.fromPartial(request), unary());
  }

  async function revoke(n: number): Promise<void> {
    const request = { name: `caller-${n}`, actor: "cost" };
    await callUnary(policy.client.revokeToken.bind(policy.client), request, unary());
  }
} finally {
  await life.close();
  await infra.dropDatabase();
  await rm(folder, { recursive: true });
  await shared.stop();
}
