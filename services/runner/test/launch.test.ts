import { execFileSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { eventually } from "@tollgate/testkit";
import { beforeEach, describe, expect, test } from "vitest";
import { toServerSpec } from "../src/domain/server-spec.ts";
import { createCommandResolver, type LaunchSpec } from "../src/launch/command.ts";
import { assignment } from "./assigning-registry.ts";
import { useTempDir } from "./temp-dir.ts";

const INSTALLED = "@modelcontextprotocol/server-everything";

const root = useTempDir();
let dir: string;
let installDir: string;
/** A line for each time that npm was started. */
let npmLog: string;
beforeEach(() => {
  dir = mkdtempSync(join(root, "case-"));
  installDir = join(dir, "servers");
  npmLog = join(dir, "npm.log");
  mkdirSync(installDir);
  writeFileSync(npmLog, "");
});

const npmRuns = () => readFileSync(npmLog, "utf8").split("\n").length - 1;
const neverAborted = new AbortController().signal;

/** A folder for PATH, with an npm that notes that it was started and then does `rest`. */
function npmThat(rest: string): string {
  const bin = mkdtempSync(join(dir, "bin-"));
  writeFileSync(join(bin, "npm"), `#!/bin/sh\necho run >> "${npmLog}"\n${rest}\n`);
  chmodSync(join(bin, "npm"), 0o755);
  return `${bin}:/usr/bin:/bin`;
}

function realNpm(): string {
  const npm = (process.env["PATH"] ?? "").split(":").map((each) => join(each, "npm"));
  const found = execFileSync("/bin/sh", [
    "-c",
    `for each in "$@"; do [ -x "$each" ] && echo "$each"; done`,
    "-",
    ...npm,
  ]);
  return npmThat(`exec "${found.toString().split("\n")[0]}" "$@"`);
}

const noNpm = () => npmThat("exit 1");

function resolver(path: string, env: Record<string, string> = {}) {
  const baseEnv = { HOME: process.env["HOME"], PATH: path, ...env };
  const resolve = createCommandResolver({ installDir, baseEnv });
  return (spec: Partial<LaunchSpec>, signal = neverAborted) =>
    resolve({ ...toServerSpec(assignment({ serverId: "s", type: "npx", command: "" })), ...spec }, signal);
}

/** A package as npm packs it; installing it needs no network. */
function pack(name: string, version: string, bin: unknown): string {
  const source = mkdtempSync(join(dir, "pack-"));
  mkdirSync(join(source, "package"));
  writeFileSync(join(source, "package", "package.json"), JSON.stringify({ name, version, bin }));
  writeFileSync(join(source, "package", "start.js"), `process.stdout.write("${name} ${version}")`);
  const file = join(source, "package.tgz");
  execFileSync("tar", ["-czf", file, "-C", source, "package"]);
  return `${name}@file:${file}`;
}

const run = ({ command, args }: { command: string; args: readonly string[] }) => execFileSync(command, args).toString();

describe("npx", () => {
  test("a package that is there is started without npx or npm", async () => {
    const resolve = resolver(noNpm());
    const found = await resolve({ command: INSTALLED, args: ["stdio"] });
    expect(found.command).toBe(process.execPath);
    expect(found.args).toEqual([expect.stringContaining(`/node_modules/${INSTALLED}/`), "stdio"]);
    const manifest = JSON.parse(readFileSync(join(dirname(dirname(found.args[0]!)), "package.json"), "utf8"));
    expect((await resolve({ command: `${INSTALLED}@${manifest.version}` })).args[0]).toBe(found.args[0]);
    expect((await resolve({ command: `${INSTALLED}@latest` })).args[0]).toBe(found.args[0]);
    expect(npmRuns()).toBe(0);
  });

  test("another version than the one that is there is installed beside it, once, however many want it", async () => {
    const resolve = resolver(realNpm());
    const spec = { command: pack("semver", "99.0.0", { semver: "start.js" }), args: ["x"] };
    const found = await Promise.all([resolve(spec), resolve(spec), resolve(spec)]);
    found.push(await resolve(spec), await resolver(noNpm())(spec));
    for (const each of found) {
      expect(each.args).toEqual([expect.stringMatching(/^\//), "x"]);
      expect(each.args[0]!.startsWith(installDir)).toBe(true);
      expect(run(each)).toBe("semver 99.0.0");
    }
    expect(npmRuns()).toBe(1);
    expect(readdirSync(installDir)).toHaveLength(1);
  });

  test("two runners that install the same at the same time do not disturb each other", async () => {
    const spec = { command: pack("@acme/odd-tool", "1.0.0", "start.js") };
    const found = await Promise.all([resolver(realNpm())(spec), resolver(realNpm())(spec)]);
    expect(found.map(run)).toEqual(["@acme/odd-tool 1.0.0", "@acme/odd-tool 1.0.0"]);
    expect(npmRuns()).toBe(2);
    expect(readdirSync(installDir)).toHaveLength(1);
  });

  test("of several commands the one that is named like the package is taken", async () => {
    const bins = { other: "other.js", "odd-tool": "start.js" };
    expect(run(await resolver(realNpm())({ command: pack("@acme/odd-tool", "1.0.0", bins) }))).toContain("odd-tool");
  });

  test.each([
    ["a package that is not there", () => "gone@file:/no/such/package.tgz", /could not install gone@file.*ENOENT/],
    ["a package without a command", () => pack("bare", "1.0.0", undefined), /^the package bare@file\S+ has no command/],
  ])("%s: the reason", async (_name, spec, reason) => {
    await expect(resolver(realNpm())({ command: spec() })).rejects.toMatchObject({
      code: "unavailable",
      message: expect.stringMatching(reason),
    });
    expect(readdirSync(installDir).filter((name) => name.includes(".part"))).toEqual([]);
  });

  test("npm's own words are the reason, its warnings and hints are not", async () => {
    const script = `echo 'npm warn old lockfile' >&2; echo 'npm error code E404' >&2; echo 'npm error 404 Not Found' >&2; exit 1`;
    const refused = resolver(npmThat(script))({ command: "@acme/none" });
    await expect(refused).rejects.toThrow("npm could not install @acme/none: code E404; 404 Not Found");
  });

  test("no npm: said as well", async () => {
    await expect(resolver(dir)({ command: "@acme/none" })).rejects.toThrow(/spawn npm ENOENT/);
  });

  test("a failed installation is tried again the next time", async () => {
    const command = pack("again", "1.0.0", "start.js");
    await expect(resolver(noNpm())({ command })).rejects.toThrow("could not install");
    expect(run(await resolver(realNpm())({ command }))).toBe("again 1.0.0");
  });

  test("an installation ends when the runner does", async () => {
    const stopping = new AbortController();
    const installing = resolver(npmThat("exec sleep 300"))({ command: "@acme/slow" }, stopping.signal);
    const refused = installing.catch((error: unknown) => error);
    await eventually(() => expect(npmRuns()).toBe(1));
    stopping.abort();
    expect(await refused).toMatchObject({ code: "unavailable" });
    expect(readdirSync(installDir)).toEqual([]);
  });
});

describe("other types", () => {
  const resolve = () => resolver("/usr/bin");

  test("node runs on the runner's own Node", async () => {
    const found = await resolve()({ type: "node", command: "server.js", args: ["a"], workingDir: "/srv" });
    expect(found).toMatchObject({ command: process.execPath, args: ["server.js", "a"], cwd: "/srv" });
  });

  test("command is taken as it is", async () => {
    const found = await resolve()({ type: "command", command: "server", args: ["-v"] });
    expect(found).toMatchObject({ command: "server", args: ["-v"], cwd: process.cwd() });
  });

  test("one that is not known is refused", async () => {
    await expect(resolve()({ type: "magic" })).rejects.toThrow("type magic is not one of npx, node, command");
  });
});

test("the environment holds what is declared and a harmless few of the runner's", async () => {
  const secrets = { TOLLGATE_SERVICE_KEY: "secret", AWS_SECRET_ACCESS_KEY: "secret", NODE_OPTIONS: "--inspect" };
  const resolve = resolver("/usr/bin", { ...secrets, LANG: "C.UTF-8", TZ: "UTC" });
  const { env } = await resolve({ type: "command", command: "server", env: { API_TOKEN: "own", TZ: "Asia/Tokyo" } });
  expect(env).toEqual({
    HOME: process.env["HOME"],
    LANG: "C.UTF-8",
    TZ: "Asia/Tokyo",
    PATH: `${dirname(process.execPath)}:/usr/bin`,
    API_TOKEN: "own",
  });
});
