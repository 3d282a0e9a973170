import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { AppError } from "@tollgate/errors";
import { afterAll, describe, expect, test } from "vitest";
import { loadDesiredState } from "./load.ts";
import { secretsFrom } from "./secret-files.ts";

const folder = mkdtempSync(join(tmpdir(), "secrets-"));
afterAll(() => rmSync(folder, { recursive: true }));
const FILES = { "db.password": "correct-horse\n", "API-KEY": "two\nlines\r\n", plain: "no line break", empty: "" };
for (const [name, text] of Object.entries(FILES)) writeFileSync(join(folder, name), text);
writeFileSync(join(folder, "full"), "x".repeat(65_536));
writeFileSync(join(folder, "large"), "x".repeat(65_537));
mkdirSync(join(folder, "folder"));

function load(entry: string, env: Record<string, string> = { TOLLGATE_SECRETS_DIR: folder }) {
  const text = `groups: [{ id: g }]\nmcp_servers:\n  - { id: a, group: g, type: npx, command: p@1.0.0, ${entry} }`;
  return loadDesiredState(text, { file: "/f.yaml", env, readSecret: secretsFrom(env) });
}

function mistakeOf(entry: string, env?: Record<string, string>): string {
  try {
    load(entry, env);
  } catch (error) {
    if (error instanceof AppError && error.code === "invalid_argument") return error.message.split("\n  ")[1]!;
    throw error;
  }
  return "none";
}

describe("secret references", () => {
  test.each([
    ["${secret:db.password}", "correct-horse"],
    ["postgres://u:${secret:db.password}@${secret:plain}/", "postgres://u:correct-horse@no line break/"],
    ["${secret:API-KEY}", "two\nlines"],
    ["${secret:empty}", ""],
    ["$${secret:plain}", "${secret:plain}"],
  ])("%s", (written, value) => {
    const [server] = load(`args: ['${written}'], env: { X: '${written}' }`).servers;
    expect(server).toMatchObject({ args: [value], env: { X: value } });
  });

  test("anywhere in the file; what is stored keeps the reference, and what it stands for is known as a secret", () => {
    const written = "env: { X: 'a ${secret:db.password}' }, args: ['${secret:plain}', '${HOST}']";
    const [server] = load(written, { TOLLGATE_SECRETS_DIR: folder, HOST: "db.example" }).servers;
    expect(server!.secrets).toEqual(["correct-horse", "no line break", "db.example"]);
    expect(server!.secretNames).toEqual(["db.password", "plain"]);
    expect(server!.written).toMatchObject({
      env: { X: "a ${secret:db.password}" },
      args: ["${secret:plain}", "${HOST}"],
    });
    const token = "control_plane: { auth: { tokens: [{ name: a, token: '${secret:db.password}' }] } }";
    const { controlPlane } = loadDesiredState(token, {
      file: "/f.yaml",
      env: {},
      readSecret: secretsFrom({ TOLLGATE_SECRETS_DIR: folder }),
    });
    expect(controlPlane.tokens[0]!.token).toBe("correct-horse");
  });

  test("one of 64 KiB is taken", () => {
    expect(secretsFrom({ TOLLGATE_SECRETS_DIR: folder })("full")).toMatchObject({ ok: true });
  });

  test.each([
    ["not-there", `needs the secret not-there: put it in a file of that name into TOLLGATE_SECRETS_DIR, ${folder}`],
    ["large", "needs the secret large, which is larger than 64 KiB"],
    ["folder", "needs the secret folder, which cannot be read: EISDIR"],
    ...["../x", "a/b", "..", ".", "", "a b", "x".repeat(129)].map((name) => [
      name,
      "has a ${secret:NAME} whose name is not 1 to 128 of A-Z, a-z, 0-9, _, . and -",
    ]),
  ])("%j: a mistake with its place, and what to do", (name, message) => {
    expect(mistakeOf(`env: { X: '\${secret:${name}}' }`)).toBe(`/f.yaml:3:63: mcp_servers[0].env.X ${message}`);
  });

  test.each([
    [{}, "is not set"],
    [{ TOLLGATE_SECRETS_DIR: "secrets" }, "is not an absolute path"],
  ])("%j", (env, problem) => {
    const message = `needs the secret plain, and TOLLGATE_SECRETS_DIR ${problem}: set it to the folder with that file`;
    expect(mistakeOf("env: { X: '${secret:plain}' }", env as Record<string, string>)).toContain(message);
  });

  test("no message repeats a secret", () => {
    const message = mistakeOf("name: '${secret:db.password}', client_capabilities: ['${secret:db.password}']");
    expect(message).not.toContain("correct-horse");
  });
});
