import { eventually } from "@tollgate/testkit";
import { fastify } from "fastify";
import { beforeAll, beforeEach, describe, expect, test } from "vitest";
import { guardApi } from "../src/handlers/api-access.ts";
import { principal } from "./controlled-policy.ts";
import { useInstallation } from "./installation.ts";
import { refusalsOn } from "./running-gateway.ts";

const installation = useInstallation();

/** What is administered below which path: reading it is one action, changing it another. */
const AREAS: readonly (readonly [RegExp, string])[] = [
  [/^\/api\/v1\/(policies|limits)\b/, "policies"],
  [/^\/api\/v1\/tokens\b/, "tokens"],
  [/^\/api\/v1\/(principals|roles)\b/, "principals"],
  [/^\/api\/v1\/sessions\b/, "sessions"],
  [/^\/api\/v1\/(servers|groups|connectors|tool-sets|health)\b/, "servers"],
  [/^\/api\/v1\/tenants\b/, "tenants"],
  [/^\/api\/v1\/secrets\b/, "secrets"],
  [/^\/api\/v1\/(plan|apply|drift)\b/, "state"],
  [/^\/api\/v1\/audit\/(exports|replays)\b/, "audit/exports"],
  [/^\/api\/v1\/audit\/(retention|holds)\b/, "audit/retention"],
  [/^\/api\/v1\/audit\b/, "audit"],
  [/^\/api\/v1\/metering\/(rate-cards|ratings)\b/, "metering"],
  [/^(\/api\/v1)?\/metering\b/, "usage"],
  [/^\/api\/v1\/dead-letters\b/, "dead-letters"],
];
const OTHERS: Readonly<Record<string, string>> = {
  // Reading the record does not include it.
  "get /api/v1/audit/events/{id}/recording": "admin/recordings/read",
  "post /api/v1/audit/verify": "admin/audit/verify",
  "post /api/v1/audit/signing-keys": "admin/audit/signing-keys/write",
  "post /api/v1/servers/{id}/tools/{tid}/decisions": "admin/tools/decide",
  // They change nothing.
  "post /api/v1/plan": "admin/state/read",
  "post /api/v1/imports": "admin/servers/read",
  "post /api/v1/policies/test": "admin/policies/read",
  "post /api/v1/policies/what-if": "admin/policies/read",
  "post /api/v1/approvals/{id}/approve": "admin/approvals/decide",
  "post /api/v1/approvals/{id}/deny": "admin/approvals/decide",
  "post /api/v1/approvals/{id}/revoke": "admin/approvals/decide",
};
/** Whoever is known may, and sees its own. */
const OWN = [
  "get /api/v1/tools",
  "get /api/v1/approvals",
  "get /api/v1/approvals/{id}",
  "post /api/v1/approvals",
  "post /api/v1/batch",
  "post /api/v1/graphql",
  "get /api/v1/graphql",
];

function expected(method: string, path: string): string | undefined {
  const area = AREAS.find(([pattern]) => pattern.test(path))?.[1];
  const general = area === undefined ? undefined : `admin/${area}/${method === "get" ? "read" : "write"}`;
  return OTHERS[`${method} ${path}`] ?? general;
}

const METHODS = ["get", "put", "post", "delete", "patch"];
let routes: { method: string; path: string }[];

async function ask(method: string, path: string, token = "admin"): Promise<{ status: number; answer: any }> {
  const url = installation.url(path.replaceAll(/\{\w+\}/g, "1"));
  const response = await fetch(url, { method: method.toUpperCase(), headers: { authorization: `Bearer ${token}` } });
  const text = await response.text();
  return { status: response.status, answer: text === "" ? undefined : JSON.parse(text) };
}

beforeAll(async () => {
  installation.around.policy.tokens.set("admin", principal({ id: "admin", permissions: ["admin"] }));
  const { paths } = (await ask("get", "/api/v1/openapi.json")).answer as { paths: Record<string, object> };
  routes = Object.entries(paths).flatMap(([path, methods]) =>
    METHODS.filter((method) => method in methods).map((method) => ({ method, path })),
  );
});
beforeEach(async () => {
  const { policy } = installation.around;
  policy.administers = (request) => request.principal!.permissions.includes("admin");
  await policy.changeTaken();
  policy.decided.length = 0;
});

describe("a route of the management API", () => {
  test("does what its path says, and nothing else is asked of policy", async () => {
    const { policy } = installation.around;
    policy.administers = () => false;
    expect(routes.length).toBeGreaterThan(20);
    for (const { method, path } of routes) {
      if (OWN.includes(`${method} ${path}`)) continue;
      await policy.changeTaken();
      policy.decided.length = 0;
      const { status, answer } = await ask(method, path);
      const asked = policy.decided.map(({ action, resources }) => [action, resources.map(({ server }) => server)]);
      expect([method, path, asked]).toEqual([method, path, [[expected(method, path), [""]]]]);
      expect([status, answer.action, answer.detail]).toEqual([
        403,
        expected(method, path),
        `admin may not ${expected(method, path)}: denied by none`,
      ]);
    }
  });

  test("is opened by policy's word, whatever permissions the caller has", async () => {
    const { policy } = installation.around;
    policy.administers = ({ action }) => action === "admin/servers/read";
    expect((await ask("get", "/api/v1/servers", "token")).status).toBe(200);
    expect((await ask("get", "/api/v1/sessions", "token")).status).toBe(403);
    expect((await ask("get", "/api/v1/sessions")).status).toBe(403);
  });

  test("is closed at once when policy says so", async () => {
    const { policy } = installation.around;
    expect((await ask("get", "/api/v1/servers")).status).toBe(200);
    policy.administers = () => false;
    await policy.changeTaken();
    expect((await ask("get", "/api/v1/servers")).status).toBe(403);
  });

  test("that is denied is on record, with who, what and from where", async () => {
    await ask("get", "/api/v1/servers", "colleague-token");
    await eventually(async () =>
      expect(await refusalsOn(installation.runner)).toContainEqual(
        expect.objectContaining({
          code: "denied",
          tenant: "acme",
          principal: "colleague",
          method: "admin/servers/read",
          address: "127.0.0.1",
          decision: expect.objectContaining({ allow: false, policies: ["none"] }),
        }),
      ),
    );
  });

  test("that does not say what it does cannot be", () => {
    const app = fastify();
    guardApi(app, {} as never);
    expect(() => app.get("/api/v1/anything", () => "")).toThrow("GET /api/v1/anything does not say its action");
    expect(() => app.get("/api/v1/said", { config: { action: "admin/audit/read" } }, () => "")).not.toThrow();
  });
});
