import { AppError } from "@tollgate/errors";
import { describe, expect, test } from "vitest";
import { loadDesiredState } from "./load.ts";
import type { ReadServerSecret } from "./placeholders.ts";
import { serverSecretsNamed } from "./server-secrets.ts";

const load = (text: string, readServerSecret?: ReadServerSecret) =>
  loadDesiredState(text, {
    file: "/etc/tollgate/tollgate.yaml",
    env: {},
    ...(readServerSecret && { readServerSecret }),
  });

function mistakesOf(text: string, readServerSecret?: ReadServerSecret): string[] {
  try {
    load(text, readServerSecret);
  } catch (error) {
    if (error instanceof AppError) return error.message.split("\n  ").slice(1);
    throw error;
  }
  return [];
}

describe("secrets:", () => {
  test("files and the installation's own where nothing is said", () => {
    expect(load("groups: []").secretStores).toEqual({
      stores: ["files", "tollgate"],
      refreshMs: 60_000,
      vault: undefined,
    });
  });

  test("Vault, with its places", () => {
    const vault = `{ url: "https://v.example:8200/", token: t, prefix: tollgate/, paths: { a: "team/x#key" }, ca_file: ca.pem, namespace: admin }`;
    expect(load(`secrets: { stores: [vault, files], refresh_seconds: 5, vault: ${vault} }`).secretStores).toEqual({
      stores: ["vault", "files"],
      refreshMs: 5_000,
      vault: {
        url: "https://v.example:8200",
        login: { token: "t" },
        namespace: "admin",
        mount: "secret",
        prefix: "tollgate/",
        paths: { a: { path: "team/x", field: "key" } },
        caFile: "/etc/tollgate/ca.pem",
        timeoutMs: 5_000,
      },
    });
  });

  test.each([
    ["{ stores: [vault] }", "secrets.stores names vault, and there are no settings for it"],
    ["{ vault: { url: https://v, token: t } }", "secrets.vault is not among the stores"],
    ["{ stores: [files, files] }", "secrets.stores has a store twice"],
    ["{ stores: [vault], vault: { url: http://v, token: t } }", "secrets.vault.url would send secrets unencrypted"],
    ["{ stores: [vault], vault: { url: https://v } }", "secrets.vault needs either token, or role_id and secret_id"],
    [
      "{ stores: [vault], vault: { url: https://v, token: t, role_id: r, secret_id: s } }",
      "secrets.vault needs either",
    ],
    ["{ stores: [vault], vault: { url: https://v, role_id: r } }", "secrets.vault.secret_id is missing"],
    ["{ stores: [vault], vault: { url: https://v, token: t, mount: ../sys } }", "secrets.vault.mount has to be a path"],
    ["{ stores: [vault], vault: { url: https://v, token: t, paths: { a: b } } }", 'paths.a has to be "path#field"'],
    ["{ stores: [vault], vault: { url: https://v, token: t, paths: { a: 'x/../y#z' } } }", "paths.a does not begin"],
    ["{ store: [files] }", 'secrets.store is not a known key; is "stores" meant?'],
  ])("%s", (secrets, message) => {
    expect(mistakesOf(`secrets: ${secrets}`)).toEqual([expect.stringContaining(message)]);
  });

  test.each(["http://127.0.0.1:8200", "http://localhost:8200", "https://v"])("%s is taken", (url) => {
    expect(mistakesOf(`secrets: { stores: [vault], vault: { url: "${url}", token: t } }`)).toEqual([]);
  });
});

describe("a server's secrets", () => {
  const server = (id: string, rest: string) => `\n  - { id: ${id}, group: g, type: npx, command: p@1.0.0, ${rest} }`;
  const text = `groups: [{ id: g }]\nmcp_servers:${server("a", "env: { X: 'k ${secret:key}' }, args: ['${secret:other}']")}${server("b", "env: { X: '${secret:key}' }")}`;

  test("come from where the reader says, for each server by itself", () => {
    const { servers } = load(text, (name, id) => ({ ok: true, value: `${name} of ${id}` }));
    expect(servers[0]).toMatchObject({ env: { X: "k key of a" }, args: ["other of a"] });
    expect(servers[1]).toMatchObject({ env: { X: "key of b" }, secrets: ["key of b"] });
    expect(servers[0]).not.toHaveProperty("withheld");
  });

  test("that cannot be had withhold that server, and nothing else", () => {
    const { servers } = load(text, (name) =>
      name === "key" ? { ok: true, value: "v" } : { ok: false, reason: "is away", withheld: true },
    );
    expect(servers.map(({ id, withheld }) => [id, withheld])).toEqual([
      ["a", "is away"],
      ["b", undefined],
    ]);
    expect(servers[0]!.secrets).toEqual(["v"]);
    expect(servers[0]!.secretNames).toEqual(["key", "other"]);
  });

  test("that it may not have are a mistake with its place", () => {
    const read: ReadServerSecret = (_name, id) =>
      id === "b" ? { ok: false, reason: "may not have it" } : { ok: true, value: "v" };
    expect(mistakesOf(text, read)).toEqual([expect.stringMatching(/:4:\d+: mcp_servers\[1\]\.env\.X may not have it/)]);
  });

  test("withheld where a url begins with one; where something else has to stand, the want of it is the mistake", () => {
    const remote = (rest: string) => `groups: [{ id: g }]\nmcp_servers: [{ id: a, group: g, type: remote, ${rest} }]`;
    const away: ReadServerSecret = () => ({ ok: false, reason: "is away", withheld: true });
    expect(load(remote("url: '${secret:u}'"), away).servers[0]!.withheld).toBe("is away");
    const port = "url: https://x, startup_timeout: '${secret:u}'";
    expect(mistakesOf(remote(port), away)).toEqual([expect.stringContaining("startup_timeout is away")]);
  });

  test("of connectors are theirs; elsewhere in the file there are files only", () => {
    const group = "groups: [{ id: '${secret:file}', connectors: [{ id: c, x: '${secret:one}' }] }]";
    expect(serverSecretsNamed(group)).toEqual(["file", "one"]);
    expect(serverSecretsNamed("policies: [{ name: '${secret:elsewhere}' }]")).toEqual([]);
    expect(serverSecretsNamed("- : {")).toEqual([]);
    const asked: string[] = [];
    mistakesOf(group, (name, id) => {
      asked.push(`${name} for ${id}`);
      return { ok: true, value: "v" };
    });
    expect(asked).toEqual(["one for c"]);
  });
});
