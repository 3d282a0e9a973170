import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createAuthority, eventually, useInfrastructure } from "@tollgate/testkit";
import { afterEach, beforeEach, describe, expect, onTestFinished, test } from "vitest";
import { assignmentIn, runRegistry, type RunningRegistry, serverIn } from "./running-registry.ts";
import { ROLE, ROOT_TOKEN, startVaultLikeServer, type VaultLikeServer } from "./vault-like-server.ts";

const infra = useInfrastructure();
let vault: VaultLikeServer;

beforeEach(async () => {
  vault = await startVaultLikeServer();
});
afterEach(() => vault.close());

const APP_ROLE = `role_id: ${ROLE.roleId}, secret_id: "\${VAULT_SECRET_ID}"`;
const SERVERS = `
groups: [{ id: demo }]
mcp_servers:
  - { id: a, group: demo, type: command, command: a, env: { KEY: "\${secret:api-key}" } }
  - { id: b, group: demo, type: command, command: b }
`;

function file(settings: { login?: string; more?: string; refresh?: number; url?: string } = {}): string {
  const { login = APP_ROLE, more = "", refresh = 1, url = vault.url } = settings;
  return `secrets: { stores: [vault], refresh_seconds: ${refresh}, vault: { url: "${url}", ${login}, timeout: 1${more} } }${SERVERS}`;
}

async function run(text: string): Promise<RunningRegistry> {
  const registry = await runRegistry(infra, { text, env: { VAULT_SECRET_ID: ROLE.secretId } });
  onTestFinished(() => registry.close());
  return registry;
}

const valueOf = (registry: RunningRegistry, value: string) =>
  registry.watchAssignments().until((last) => expect(assignmentIn(last, "a").env["KEY"]).toBe(value));

/** Until the server waits for its secret, with a reason that holds this; the other one runs. */
async function waits(registry: RunningRegistry, reason: string): Promise<void> {
  await registry
    .watchCatalogue()
    .until((last) =>
      expect(serverIn(last, "a")).toMatchObject({ status: "unavailable", reason: expect.stringContaining(reason) }),
    );
  const { assignments } = await registry.watchAssignments().until(() => undefined);
  expect(assignments.map(({ serverId }) => serverId)).toEqual(["b"]);
}

describe("secrets in Vault", () => {
  test("are read as an AppRole, and a new version is taken", async () => {
    vault.write("tollgate/api-key", { value: "first-value" });
    const registry = await run(file({ more: ", prefix: tollgate/, namespace: team/one" }));
    await valueOf(registry, "first-value");
    expect(await registry.secrets.one("api-key")).toMatchObject({
      store: "vault",
      version: 0,
      usedBy: ["a"],
      problem: "",
    });
    expect(vault.requests.filter((each) => each.includes("login"))).toEqual(["POST auth/approle/login"]);
    expect([...vault.namespaces]).toEqual(["team/one"]);
    vault.write("tollgate/api-key", { value: "second-value" });
    await valueOf(registry, "second-value");
  });

  test("are elsewhere where paths say so; asked no more often than refresh_seconds says", async () => {
    vault.write("teams/x", { token: "of-the-team", value: "not-this" });
    const registry = await run(file({ more: ', paths: { api-key: "teams/x#token" }', refresh: 3_600 }));
    await valueOf(registry, "of-the-team");
    for (const name of ["one", "two", "three"]) {
      await registry.writeFile(`${file({ more: ', paths: { api-key: "teams/x#token" }', refresh: 3_600 })}# ${name}\n`);
      await valueOf(registry, "of-the-team");
    }
    expect(vault.requests).toEqual(["POST auth/approle/login", "GET secret/data/teams/x"]);
  });

  test("that are not there, may not be read or have no text withhold the server, and the reason names the path only", async () => {
    const registry = await run(file());
    await waits(registry, "needs the secret api-key: put it into Vault");
    vault.write("api-key", { other: "value-of-another-field" });
    await waits(registry, "Vault, secret/api-key: has no text in the field value");
    vault.write("api-key", { value: { nested: "value-that-is-nested" } });
    vault.denied.add("api-key");
    await waits(registry, "Vault, secret/api-key: permission denied");
    vault.denied.clear();
    await waits(registry, "has no text in the field value");
    vault.write("api-key", { value: "at last" });
    await valueOf(registry, "at last");
    vault.remove("api-key");
    await waits(registry, "put it into Vault");
    expect(await registry.secrets.one("api-key")).toMatchObject({ store: "", usedBy: ["a"], problem: "" });
  });
});

describe("Vault away", () => {
  test.each([
    ["answers nothing", "silent" as const, "Vault: no answer within 1000 ms"],
    ["answers 503", { status: 503 }, "Vault: Vault has answered 503"],
    ["answers something else", { status: 200, body: "<html>" }, "has no text in the field value"],
    ["answers without an end", { status: 200, body: "x".repeat(2_000_000) }, "an answer of more than 1048576 bytes"],
  ])("%s: what was read last stays in force, and everything else goes on", async (_what, behaviour, problem) => {
    vault.write("api-key", { value: "kept-value" });
    const registry = await run(file());
    await valueOf(registry, "kept-value");
    vault.behave = behaviour;
    await eventually(async () => expect((await registry.secrets.one("api-key"))!.problem).toContain(problem));
    await registry.writeFile(`${file()}  - { id: c, group: demo, type: command, command: c }\n`);
    const last = await registry.watchAssignments().until((each) => assignmentIn(each, "c"));
    expect(assignmentIn(last, "a").env["KEY"]).toBe("kept-value");
    vault.write("api-key", { value: "next-value" });
    vault.behave = "well";
    await valueOf(registry, "next-value");
    await eventually(async () => expect((await registry.secrets.one("api-key"))!.problem).toBe(""));
  });

  test("at the start: its servers wait, the others run, and it is asked again until it is there", async () => {
    vault.write("api-key", { value: "late-value" });
    vault.behave = "silent";
    const registry = await run(file({ refresh: 3_600 }));
    await waits(registry, "needs the secret api-key, which cannot be read: Vault: no answer within 1000 ms");
    vault.behave = "well";
    await valueOf(registry, "late-value");
    await registry.watchCatalogue().until((last) => expect(serverIn(last, "a").status).toBe("pending"));
  });

  test("for one replica only: the server is known as before to the other, and runs anew when the one has it again", async () => {
    vault.write("api-key", { value: "same-value" });
    const one = await run(file({ refresh: 3_600 }));
    await one.reportTools("a", ["tool"]);
    const { generation } = assignmentIn(await valueOf(one, "same-value"), "a");
    vault.behave = "silent";
    const other = await run(file({ refresh: 3_600 }));
    await waits(other, "no answer");
    vault.behave = "well";
    const again = await valueOf(other, "same-value");
    expect(assignmentIn(again, "a").generation).toBe(generation + 1n);
    await one.watchAssignments().until((last) => expect(assignmentIn(last, "a").generation).toBe(generation + 1n));
    await one.reportTools("a", ["tool"]);
    const known = await other.watchCatalogue().until((last) => expect(serverIn(last, "a").status).toBe("ready"));
    expect(serverIn(known, "a").tools.map(({ name }) => name)).toEqual(["tool"]);
  });
});

describe("tokens", () => {
  test("that can be renewed are; others are got anew before they end; those that were revoked as well", async () => {
    vault.write("api-key", { value: "v1" });
    vault.grants = { ttlSeconds: 3, renewable: true };
    const registry = await run(file());
    await valueOf(registry, "v1");
    const count = (part: string) => vault.requests.filter((each) => each.includes(part)).length;
    await eventually(() => expect(count("renew-self")).toBeGreaterThanOrEqual(2));
    vault.grants = { ttlSeconds: 3, renewable: false };
    const logins = count("login");
    await eventually(() => expect(count("login")).toBeGreaterThan(logins));
    vault.revokeAll();
    vault.write("api-key", { value: "v2" });
    await valueOf(registry, "v2");
    expect((await registry.secrets.one("api-key"))!.problem).toBe("");
  });

  test("of the settings work as well; a wrong one, and a wrong AppRole, are told without being shown", async () => {
    vault.write("api-key", { value: "by-token" });
    const registry = await run(file({ login: `token: ${ROOT_TOKEN}` }));
    await valueOf(registry, "by-token");
    await registry.writeFile(file({ login: "token: a-token-that-is-wrong" }));
    await eventually(async () =>
      expect((await registry.secrets.one("api-key"))!.problem).toBe("Vault, secret/api-key: permission denied"),
    );
    await registry.writeFile(file({ login: "role_id: nobody, secret_id: a-secret-id-that-is-wrong" }));
    await eventually(async () =>
      expect((await registry.secrets.one("api-key"))!.problem).toBe(
        "Vault: Vault does not let the AppRole in (status 400)",
      ),
    );
    await valueOf(registry, "by-token");
  });
});

test("over TLS the certificate has to be of an authority that is known", async () => {
  const folder = await mkdtemp(join(tmpdir(), "tollgate-vault-"));
  onTestFinished(() => rm(folder, { recursive: true }));
  const authority = await createAuthority();
  const secure = await startVaultLikeServer(await authority.server());
  onTestFinished(() => secure.close());
  secure.write("api-key", { value: "over-tls" });
  const registry = await run(file({ url: secure.url }));
  await waits(registry, "Vault: cannot be reached (UNABLE_TO_VERIFY_LEAF_SIGNATURE)");
  await writeFile(join(folder, "ca.pem"), authority.cert);
  await registry.writeFile(file({ url: secure.url, more: `, ca_file: ${join(folder, "ca.pem")}` }));
  await valueOf(registry, "over-tls");
  await registry.writeFile(file({ url: secure.url, more: `, ca_file: ${join(folder, "none.pem")}` }));
  await eventually(async () =>
    expect((await registry.secrets.one("api-key"))!.problem).toBe("Vault's ca_file cannot be read (ENOENT)"),
  );
});

describe("secrets that somebody only speaks of", () => {
  const naming = (count: number) =>
    `mcp_servers: [{ id: c, group: demo, type: command, command: c, args: [${Array.from({ length: count }, (_, at) => `"\${secret:junk-${at}}"`).join(", ")}] }]`;

  test("are not looked up for a plan, which changes nothing of what is in force", async () => {
    vault.write("api-key", { value: "a-value" });
    const registry = await run(file({ refresh: 3_600 }));
    await valueOf(registry, "a-value");
    const asked = [...vault.requests];
    const { changes } = await registry.reconcile(naming(200), { dryRun: true });
    expect(changes).toMatchObject([{ change: "create", id: "c" }]);
    expect(vault.requests).toEqual(asked);
  });

  test("are not looked up where they are too many", async () => {
    const registry = await run(file({ refresh: 3_600 }));
    const asked = vault.requests.length;
    const many = Array.from({ length: 25 }, (_, at) => ({
      id: `m-${at}`,
      group: "demo",
      type: "command",
      command: "m",
      args: Array.from({ length: 201 }, (_each, name) => `\${secret:junk-${at}-${name}}`),
    }));
    await expect(registry.reconcile(JSON.stringify({ mcp_servers: many }))).rejects.toMatchObject({
      code: "invalid_argument",
      message: "servers name 5026 secrets; at most 5000 are read",
    });
    expect(vault.requests).toHaveLength(asked);
  });

  test("are forgotten where nobody uses them", async () => {
    const registry = await run(file({ refresh: 3_600 }));
    const refused = { group: "gone", type: "command", command: "c", args: ["${secret:junk}"] };
    const asked = () => vault.requests.filter((each) => each.includes("junk")).length;
    await eventually(async () => {
      await expect(registry.put("server", "c", refused)).rejects.toThrow("is not the id of a group");
      expect(asked()).toBeGreaterThan(1);
    });
  });
});
