import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { policyV1 } from "@tollgate/contracts";
import { callUnary, openGrpcClient, openLife, serviceMetadata } from "@tollgate/service";
import { type Infrastructure, testLog } from "@tollgate/testkit";
import { startPolicy } from "../src/service.ts";

export const DEV_TOKEN = "dev-secret-0123456789";
export const ADMIN_TOKEN = "admin-secret-0123456789";
const ENV = { DEV_TOKEN, ADMIN_TOKEN };

export const FILE = `
control_plane:
  auth:
    tokens:
      - { name: dev, token: "\${DEV_TOKEN}", tenant: acme, team: payments, roles: [developer] }
      - { name: admin, token: "\${ADMIN_TOKEN}", permissions: [mcp, admin] }
groups: [{ id: demo }]
mcp_servers:
  - { id: files, group: demo, type: command, command: files, env: { KEY: "\${NOT_OF_THIS_SERVICE}" } }
policies:
  - { name: allow-dev, effect: allow, principals: ["role:developer"], actions: ["*"], resources: ["files:read_*"] }
`;

/** One started policy service, its file, and what a gateway or administrator would ask it. */
export async function runPolicy(
  infra: Infrastructure,
  options: { text?: string; meteringAddress?: string; env?: Record<string, string> } = {},
) {
  const folder = await mkdtemp(join(tmpdir(), "tollgate-policy-"));
  const file = join(folder, "tollgate.yaml");
  await writeFile(file, options.text ?? FILE);
  const config = {
    logLevel: "silent" as const,
    serviceKey: infra.serviceKey,
    host: "127.0.0.1",
    httpPort: 0,
    grpcPort: 0,
    databaseUrl: infra.databaseUrl("policy"),
    natsUrl: infra.natsUrl,
    busPrefix: infra.busPrefix,
    configFile: file,
    meteringAddress: options.meteringAddress ?? "",
    env: { ...ENV, ...options.env },
  };
  const service = await startPolicy(config, testLog).catch(async (error: unknown) => {
    await rm(folder, { recursive: true });
    throw error;
  });
  const life = openLife(testLog);
  const client = openGrpcClient(policyV1.PolicyServiceClient, {
    address: `127.0.0.1:${service.grpcPort}`,
    name: "policy",
    life,
  });
  const metadata = serviceMetadata(infra.serviceKey);
  const unary = { metadata, timeoutMs: 10_000, service: "policy" };

  return {
    service,
    client,
    metadata,
    writeFile: (text: string) => writeFile(file, text),
    authenticate: (token: string) =>
      callUnary(client.authenticate.bind(client), policyV1.AuthenticateRequest.fromPartial({ token }), unary),
    decide: ({ resources, ...request }: Question) =>
      callUnary(
        client.decide.bind(client),
        { address: "", arguments: undefined, ...request, resources: resources.map((each) => ({ ...ANY, ...each })) },
        unary,
      ),
    /** One decision on `tools/call`. */
    async mayCall(
      principal: policyV1.Principal | undefined,
      server: string,
      tool: string,
      { sandboxed = false } = {},
    ): Promise<policyV1.Decision> {
      const { decisions } = await this.decide({
        principal,
        action: "tools/call",
        resources: [{ group: "disk", server, tool, sandboxed }],
      });
      return decisions[0]!;
    },
    listPolicies: (tenant = "") => callUnary(client.listPolicies.bind(client), { tenant }, unary),
    putPolicy: (policy: Partial<policyV1.Policy>, actor = "tester") =>
      callUnary(client.putPolicy.bind(client), { policy: { ...DENY_WRITES, ...policy }, actor }, unary),
    deletePolicy: (id: string) => callUnary(client.deletePolicy.bind(client), { id, actor: "tester" }, unary),
    listTokens: () => callUnary(client.listTokens.bind(client), {}, unary),
    revokeToken: (name: string) => callUnary(client.revokeToken.bind(client), { name, actor: "tester" }, unary),
    async readiness(): Promise<number> {
      const response = await fetch(`http://127.0.0.1:${service.httpPort}/readyz`);
      return response.status;
    },
    async metrics(): Promise<string> {
      const response = await fetch(`http://127.0.0.1:${service.httpPort}/metrics`);
      return response.text();
    },
    async close(): Promise<void> {
      await life.close();
      await service.close();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

export type RunningPolicy = Awaited<ReturnType<typeof runPolicy>>;

const ANY: policyV1.Resource = { group: "", server: "", tool: "", sandboxed: false, environment: "", risk: "" };

type Question = Partial<Omit<policyV1.DecideRequest, "resources">> & {
  readonly principal: policyV1.Principal | undefined;
  readonly action: string;
  readonly resources: readonly Partial<policyV1.Resource>[];
};

const DENY_WRITES = policyV1.Policy.fromPartial({
  id: "no-writes",
  effect: "deny",
  principals: ["*"],
  actions: ["tools/call"],
  resources: ["*:write_*"],
});
