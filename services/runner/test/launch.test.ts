import { execFileSync } from "node:child_process";
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { eventually } from "@tollgate/testkit";
import { beforeEach, describe, expect, test } from "vitest";
import { outputOf, placeOf, programThat, resolverIn, usePlace } from "./launch-fixture.ts";
import { isRunning } from "./processes.ts";

const INSTALLED = "@modelcontextprotocol/server-everything";
const SYSTEM = "/usr/bin:/bin";

const place = usePlace();
/** How often npm was started. */
let npmRuns: () => number;
beforeEach(() => {
  npmRuns = () => 0;
});

/** A PATH with an npm that notes that it was started and then does `rest`. */
function npmThat(rest: string): string {
  const npm = programThat(place, "npm", rest);
  const before = npmRuns;
  npmRuns = () => before() + npm.runs();
  return `${npm.bin}:${SYSTEM}`;
}

const realNpm = () => npmThat(`exec "${placeOf("npm")}" "$@"`);
const noNpm = () => npmThat("exit 1");
const resolver = (path: string, env: Record<string, string> = {}) => resolverIn(place, path, env);
const installed = () => readdirSync(place.installDir, { withFileTypes: true });

/** A package as npm packs it; installing it needs no network. */
function pack(name: string, version: string, bin: unknown): string {
  const source = mkdtempSync(join(place.dir, "pack-"));
  mkdirSync(join(source, "package"));
  writeFileSync(join(source, "package", "package.json"), JSON.stringify({ name, version, bin }));
  writeFileSync(join(source, "package", "start.js"), `process.stdout.write("${name} ${version}")`);
  const file = join(source, "package.tgz");
  execFileSync("tar", ["-czf", file, "-C", source, "package"]);
  return `${name}@file:${file}`;
}

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
      expect(each.args[0]!.startsWith(realpathSync(place.installDir))).toBe(true);
      expect(outputOf(each)).toBe("semver 99.0.0");
    }
    expect(npmRuns()).toBe(1);
    expect(installed().filter((entry) => entry.isDirectory())).toHaveLength(1);
  });

  test("two runners that install the same at the same time do not disturb each other", async () => {
    const spec = { command: pack("@acme/odd-tool", "1.0.0", "start.js") };
    const found = await Promise.all([resolver(realNpm())(spec), resolver(realNpm())(spec)]);
    expect(found.map(outputOf)).toEqual(["@acme/odd-tool 1.0.0", "@acme/odd-tool 1.0.0"]);
    expect(npmRuns()).toBe(2);
    expect(installed().filter((entry) => entry.isDirectory())).toHaveLength(1);
    expect(found[0].args).toEqual(found[1].args);
  });

  test("of several commands the one that is named like the package is taken", async () => {
    const bins = { other: "other.js", "odd-tool": "start.js" };
    expect(outputOf(await resolver(realNpm())({ command: pack("@acme/odd-tool", "1.0.0", bins) }))).toContain(
      "odd-tool",
    );
  });

  test.each([
    ["a package that is not there", () => "gone@file:/no/such/package.tgz", /could not install gone@file.*ENOENT/, 0],
    [
      "a package without a command",
      () => pack("bare", "1.0.0", undefined),
      /^the package bare@file\S+ has no command/,
      1,
    ],
  ])("%s: the reason", async (_name, spec, reason, kept) => {
    await expect(resolver(realNpm())({ command: spec() })).rejects.toMatchObject({
      code: "unavailable",
      message: expect.stringMatching(reason),
    });
    expect(installed().filter((entry) => entry.isDirectory()).length).toBe(kept);
  });

  test("npm's own words are the reason, its warnings and hints are not", async () => {
    const script = `echo 'npm warn old lockfile' >&2; echo 'npm error code E404' >&2; echo 'npm error 404 Not Found' >&2; exit 1`;
    const refused = resolver(npmThat(script))({ command: "@acme/none" });
    await expect(refused).rejects.toThrow("npm could not install @acme/none: code E404; 404 Not Found");
  });

  test("what a killed runner has left half done is removed, what may be under way is not", async () => {
    for (const name of ["old@1.0.0.abcdef", "new@1.0.0.abcdef"]) mkdirSync(join(place.installDir, name));
    utimesSync(join(place.installDir, "old@1.0.0.abcdef"), 0, 0);
    await resolver(realNpm())({ command: pack("sweeps", "1.0.0", "start.js") });
    const names = installed().map(({ name }) => name);
    expect(names).not.toContain("old@1.0.0.abcdef");
    expect(names).toContain("new@1.0.0.abcdef");
  });

  test("npm gets the settings of npm and of proxies, the server does not", async () => {
    const settings = { npm_config_loglevel: "silent", HTTPS_PROXY: "http://u:p@proxy:1", no_proxy: "x", OTHER: "y" };
    const path = npmThat(`env > "${place.dir}/npm-env"; exec "${placeOf("npm")}" "$@"`);
    const { env } = await resolver(path, settings)({ command: pack("told", "1.0.0", "start.js") });
    const told = readFileSync(join(place.dir, "npm-env"), "utf8").split("\n");
    expect(told).toEqual(
      expect.arrayContaining(["npm_config_loglevel=silent", "HTTPS_PROXY=http://u:p@proxy:1", "no_proxy=x"]),
    );
    expect(told).not.toContain("OTHER=y");
    expect(Object.keys(env).toSorted()).toEqual(["HOME", "PATH"]);
  });

  test("no npm: said with the command that installs it", async () => {
    const message = /^npm is not there; install it with: (apt-get install npm|brew install node)$/;
    await expect(resolver(place.dir)({ command: "@acme/none" })).rejects.toThrow(message);
  });

  test("a failed installation is tried again the next time", async () => {
    const command = pack("again", "1.0.0", "start.js");
    await expect(resolver(noNpm())({ command })).rejects.toThrow("could not install");
    expect(outputOf(await resolver(realNpm())({ command }))).toBe("again 1.0.0");
  });

  test("an installation ends when the runner does, with all that it has started", async () => {
    const stopping = new AbortController();
    const pidFile = join(place.dir, "pid");
    const npm = npmThat(`sleep 300 & echo $! > "${pidFile}.part"; mv "${pidFile}.part" "${pidFile}"; wait`);
    const installing = resolver(npm)({ command: "@acme/slow" }, stopping.signal);
    const refused = installing.catch((error: unknown) => error);
    const pid = await eventually(() => Number(readFileSync(pidFile, "utf8")));
    stopping.abort();
    expect(await refused).toMatchObject({ code: "unavailable" });
    await eventually(() => expect(isRunning(pid)).toBe(false));
    expect(installed()).toEqual([]);
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

  test("what a process has to read beside the system: its package, its program, Node", async () => {
    const dist = join(place.dir, "app", "dist");
    mkdirSync(dist, { recursive: true });
    const node = dirname(process.execPath);
    const filesOf = async (type: string, command: string) =>
      (await resolve()({ type, command, workingDir: dist })).files;
    expect(await filesOf("node", "server.js")).toEqual(expect.arrayContaining([node, dist]));
    writeFileSync(join(place.dir, "app", "package.json"), "{}");
    expect(await filesOf("node", "server.js")).toEqual(expect.arrayContaining([node, join(place.dir, "app")]));
    const { bin } = programThat(place, "server", "exit 0");
    symlinkSync(join(bin, "server"), join(dist, "linked"));
    const linked = [node, join(dist, "linked"), realpathSync(join(bin, "server"))];
    expect(await filesOf("command", "./linked")).toEqual(expect.arrayContaining(linked));
    expect(await filesOf("command", "not-there")).not.toContain(expect.stringContaining("not-there"));
    expect((await resolver(noNpm())({ command: INSTALLED })).files).toContainEqual(
      expect.stringMatching(/\/node_modules$/),
    );
  });

  test("one that is not known is refused", async () => {
    await expect(resolve()({ type: "magic" })).rejects.toThrow(
      "type magic is not one of npx, node, python, uv, container, command",
    );
  });
});

test("the environment holds what is declared and a harmless few of the runner's", async () => {
  const secrets = {
    npm_config_token: "secret",
    DOCKER_HOST: "tcp://secret",
    TOLLGATE_SERVICE_KEY: "secret",
    AWS_SECRET_ACCESS_KEY: "secret",
    NODE_OPTIONS: "--inspect",
  };
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
