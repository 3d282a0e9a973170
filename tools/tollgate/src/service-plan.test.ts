import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadDesiredState } from "@tollgate/desired-state";
import { expect, onTestFinished, test } from "vitest";
import type { Secrets } from "./secrets.ts";
import {
  DATABASE_SERVICES,
  type Place,
  planEnvironments,
  type ServiceName,
  SERVICES,
  toEnvFile,
} from "./service-plan.ts";

const secrets: Secrets = {
  serviceKey: "key-0123456789abcdef",
  natsPassword: "nats-0123456789abcdef",
  databasePassword: "superuser-0123456789",
  rolePasswords: Object.fromEntries(
    DATABASE_SERVICES.map((name) => [name, `role-of-${name}-01234`]),
  ) as Secrets["rolePasswords"],
  token: "tg_0123456789abcdef",
  adminToken: "tga_0123456789abcdef",
  recordingKeys: "k1:recording-0123456789abcdef",
  secretKeys: "k1:secrets-0123456789abcdef",
  signingSecret: "signing-0123456789abcdef",
};
const LIMITS = "{ max_concurrent_requests: 7, request_timeout_seconds: 1.5, max_response_size_mb: 2 }";
const { controlPlane } = loadDesiredState(`control_plane: { limits: ${LIMITS} }`, { file: "f.yaml", env: {} });
const places = Object.fromEntries(
  SERVICES.map((name, index) => [
    name,
    { bind: "0.0.0.0", host: name, httpPort: 8000 + index, grpcPort: 9000 + index },
  ]),
) as Record<ServiceName, Place>;
const plan = {
  secrets,
  places,
  natsUrl: `nats://tollgate:${secrets.natsPassword}@nats:4222`,
  databaseUrl: `postgres://postgres:${secrets.databasePassword}@db:5432/tollgate`,
  configFile: "/etc/tollgate.yaml",
  filesDir: "/srv/files",
  controlPlane,
  logLevel: "info",
};
const environments = planEnvironments(plan);

test("each service gets its own database role, and no secret of another's", () => {
  for (const [name, environment] of Object.entries(environments)) {
    const text = toEnvFile(environment);
    expect(text, name).not.toContain(secrets.databasePassword);
    const roles = DATABASE_SERVICES.filter((each) => text.includes(secrets.rolePasswords[each]));
    expect(roles).toEqual(DATABASE_SERVICES.filter((each) => each === name));
    expect(text.includes(secrets.token), name).toBe(name === "policy");
    expect(text.includes(secrets.recordingKeys), name).toBe(["audit", "runner"].includes(name));
    expect(text.includes(secrets.secretKeys), name).toBe(name === "registry");
    expect(text.includes(secrets.signingSecret), name).toBe(name === "audit");
    expect(text.includes(secrets.natsPassword), name).toBe(true);
  }
});

test("the limits of the configuration file reach those that keep them", () => {
  expect(environments.gateway).toMatchObject({
    TOLLGATE_CALLS_MAX: "7",
    TOLLGATE_REQUEST_TIMEOUT_MS: "1500",
    TOLLGATE_POLICY_ADDRESS: `policy:${places.policy.grpcPort}`,
  });
  expect(environments.runner["TOLLGATE_RESPONSE_MAX_BYTES"]).toBe(String(2 * 1024 * 1024));
});

test("gateway and policy agree on where clients get their tokens, and for what", () => {
  const port = places.gateway.httpPort;
  expect(environments.policy["TOLLGATE_PUBLIC_URL"]).toBe(`http://127.0.0.1:${port}`);
  expect(environments.gateway).toMatchObject({
    TOLLGATE_PUBLIC_URL: `http://127.0.0.1:${port}`,
    TOLLGATE_AUTHORIZATION_SERVERS: "",
    TOLLGATE_SCOPES: "",
  });
  const oauth = "{ issuer: https://login.example.com, required_scopes: [a, b] }";
  const text = `control_plane: { public_url: https://mcp.example.com/, auth: { oauth: ${oauth} } }`;
  const other = planEnvironments({
    ...plan,
    controlPlane: loadDesiredState(text, { file: "f.yaml", env: {} }).controlPlane,
  });
  expect(other.policy["TOLLGATE_PUBLIC_URL"]).toBe("https://mcp.example.com");
  expect(other.gateway).toMatchObject({
    TOLLGATE_PUBLIC_URL: "https://mcp.example.com",
    TOLLGATE_AUTHORIZATION_SERVERS: "https://login.example.com",
    TOLLGATE_SCOPES: "a,b",
  });
});

test("node reads an environment file as it was meant", () => {
  const dir = mkdtempSync(join(tmpdir(), "tollgate-env-"));
  onTestFinished(() => rmSync(dir, { recursive: true }));
  const given = { A: "plain", B: "a b # c", C: 'say "hi"', D: "it's $HOME \\n ${X}", E: "", F: "a=b" };
  writeFileSync(join(dir, "x.env"), toEnvFile(given));
  const script = `process.stdout.write(JSON.stringify(process.env))`;
  const output = execFileSync(process.execPath, [`--env-file=${join(dir, "x.env")}`, "-e", script], { env: {} });
  expect(JSON.parse(output.toString())).toEqual(given);
});
