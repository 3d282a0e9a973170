import { type ChildProcessWithoutNullStreams, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { eventually } from "@tollgate/testkit";
import { afterEach, describe, expect, test } from "vitest";
import type { Command, LaunchSpec } from "../src/launch/command.ts";
import { placeOf, programThat, resolverIn, specOf, usePlace } from "./launch-fixture.ts";

/** The image that Tollgate's own is made from. */
const IMAGE = "node:24-trixie-slim";

const place = usePlace();

function answers(engine: string): boolean {
  try {
    execFileSync(engine, ["info"], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}
const docker = placeOf("docker");
/** The run with containers has an engine; where the other has one too, nothing is left out. */
const hasEngine = process.env["TOLLGATE_TEST_BACKEND"] === "containers" || (docker !== "" && answers(docker));

const MIB = 1024 * 1024;
const spec = (rest: Partial<LaunchSpec> = {}): Partial<LaunchSpec> => ({ type: "container", command: IMAGE, ...rest });
const sandbox = (rest: Partial<LaunchSpec["sandbox"]>) => ({ ...specOf().sandbox, mode: "auto" as const, ...rest });

describe("what an engine is asked for", () => {
  /** An engine that has every image: what it is asked to run is what these tests look at. */
  const resolverWith = (name: string, env: Record<string, string> = {}) =>
    resolverIn(place, programThat(place, name, "exit 0").bin, env);

  test("nothing that the server does not declare", async () => {
    const limits = { ...specOf().limits, memoryBytes: 512 * MIB, cpuMillis: 500, openFiles: 64, processes: 16 };
    const boxed = sandbox({ network: false, read: ["/srv/in, put"], write: ["/srv/out"] });
    const env = { API_KEY: "s3cret", HOME: "/tmp" };
    const declared = spec({ args: ["serve", "--fast"], env, limits, sandbox: boxed, workingDir: "/app" });
    const found = await resolverWith("docker", { DOCKER_HOST: "tcp://engine:1", LANG: "C.UTF-8" })(declared);
    expect(found.args.join("\n")).toBe(
      `run
--rm
-i
--init
--pull=never
--name=${found.container!.name}
--label=tollgate.server=s
--label=tollgate.runner=${process.pid}
--read-only
--tmpfs=/tmp
--cap-drop=ALL
--security-opt=no-new-privileges
--network=none
--mount=type=bind,"source=/srv/in, put","target=/srv/in, put",readonly
--mount=type=bind,source=/srv/out,target=/srv/out
--memory=${512 * MIB}b
--memory-swap=${512 * MIB}b
--cpus=0.500
--pids-limit=16
--ulimit=nofile=64:64
--env=API_KEY
--env=HOME
--workdir=/app
${IMAGE}
serve
--fast`,
    );
    const home = process.env["HOME"]!;
    expect(found.env).toMatchObject({ ...env, DOCKER_HOST: "tcp://engine:1", DOCKER_CONFIG: join(home, ".docker") });
    expect(found.cwd).toBe(process.cwd());
    expect((await resolverWith("docker")(declared)).container).not.toEqual(found.container);
  });

  test("with the sandbox off, the image has what it wants of its own", async () => {
    const { args } = await resolverWith("docker")(spec({ sandbox: sandbox({ mode: "off" }) }));
    expect(args.join(" ")).not.toMatch(/read-only|cap-drop|network/);
  });

  test("podman where there is no docker; it keeps its own variables", async () => {
    const resolve = resolverWith("podman");
    expect((await resolve(spec())).command).toMatch(/\/podman$/);
    await expect(resolve(spec({ env: { HOME: "/tmp" } }))).rejects.toThrow(
      "the variable HOME is for podman itself; a container cannot have it",
    );
  });

  test("no engine, or one that does not answer", async () => {
    await expect(resolverIn(place, place.dir)(spec())).rejects.toThrow(
      /^neither docker nor podman is there; install it with: (apt-get install docker\.io|brew install --cask docker)$/,
    );
    const { bin } = programThat(place, "docker", `echo "Cannot connect to the Docker daemon" >&2; exit 1`);
    await expect(resolverIn(place, bin)(spec())).rejects.toThrow(
      "docker does not answer: Cannot connect to the Docker daemon",
    );
  });
});

describe.runIf(hasEngine)("with a real engine", () => {
  const running: { child: ChildProcessWithoutNullStreams; name: string }[] = [];
  afterEach(async () => {
    for (const { child, name } of running.splice(0)) {
      execFileSync(docker, ["rm", "--force", name], { stdio: "ignore" });
      if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
    }
  });

  const resolve = (declared: Partial<LaunchSpec>) => resolverIn(place, process.env["PATH"]!)(declared);
  function start({ command, args, env, cwd, container }: Command) {
    const child = spawn(command, args, { env, cwd });
    running.push({ child, name: container!.name });
    const said = { stdout: "", stderr: "" };
    child.stdout.on("data", (chunk: Buffer) => (said.stdout += chunk.toString()));
    child.stderr.on("data", (chunk: Buffer) => (said.stderr += chunk.toString()));
    return { child, said };
  }

  /** Says what it sees of its surroundings, then echoes, and ends when its input does. */
  const SERVER = `
    const { readFileSync, writeFileSync, existsSync, readdirSync } = require("node:fs");
    const able = (what) => { try { return what(); } catch (error) { return error.code; } };
    console.log(JSON.stringify({
      key: process.env.API_KEY, home: process.env.HOME, path: process.env.PATH.includes("/usr/bin"), cwd: process.cwd(),
      read: able(() => readFileSync(process.argv[1] + "/in/text", "utf8")),
      writeRead: able(() => writeFileSync(process.argv[1] + "/in/other", "")),
      write: able(() => writeFileSync(process.argv[1] + "/out/text", "written")),
      writeRoot: able(() => writeFileSync("/written", "")), writeTmp: able(() => writeFileSync("/tmp" + "/written", "")),
      interfaces: readdirSync("/sys/class/net"), host: existsSync(process.argv[2]),
      capabilities: /CapEff:\\s*(\\w+)/.exec(readFileSync("/proc/self/status", "utf8"))[1],
      files: /Max open files\\s+(\\d+)/.exec(readFileSync("/proc/self/limits", "utf8"))[1],
    }));
    process.stdin.on("data", (chunk) => process.stdout.write(chunk)).on("end", () => process.exit());`;

  test("a server speaks over the client's input and output, sees what it declares, and is gone with its input", async () => {
    for (const folder of ["in", "out"]) mkdirSync(join(place.dir, folder));
    writeFileSync(join(place.dir, "in", "text"), "to be read");
    const command = await resolve(
      spec({
        args: ["node", "-e", SERVER, place.dir, import.meta.filename],
        env: { API_KEY: "s3cret-0123456789", HOME: "/tmp" },
        limits: { ...specOf().limits, memoryBytes: 256 * MIB, openFiles: 99, processes: 32 },
        sandbox: sandbox({ network: false, read: [join(place.dir, "in")], write: [join(place.dir, "out")] }),
        workingDir: "/usr",
      }),
    );
    const { child, said } = start(command);
    await eventually(() => expect(said.stdout, said.stderr).toContain("}\n"));
    expect(JSON.parse(said.stdout)).toEqual({
      key: "s3cret-0123456789",
      home: "/tmp",
      path: true,
      cwd: "/usr",
      read: "to be read",
      writeRead: "EROFS",
      writeRoot: "EROFS",
      interfaces: ["lo"],
      host: false,
      capabilities: "0000000000000000",
      files: "99",
    });
    expect(readFileSync(join(place.dir, "out", "text"), "utf8")).toBe("written");
    // What everybody on the machine can see.
    const shown = execFileSync("ps", ["-ww", "-o", "args=", "-p", String(child.pid)]).toString();
    expect(shown).toContain("--env=API_KEY");
    expect(shown).not.toContain("s3cret");
    expect(inspect(command, "{{.HostConfig.Memory}} {{.HostConfig.MemorySwap}} {{.HostConfig.PidsLimit}}")).toBe(
      `${256 * MIB} ${256 * MIB} 32`,
    );
    child.stdin.write("echoed\n");
    await eventually(() => expect(said.stdout).toContain("echoed\n"));
    child.stdin.end();
    await eventually(() => expect(child.exitCode).toBe(0));
    await eventually(() => expect(() => inspect(command, "{{.Id}}")).toThrow(/no such (container|object)/i));
  });

  test("an image that is not there and cannot be had is told with the engine's reason", async () => {
    // No registry is there.
    const image = "127.0.0.1:1/nobody/nothing:1";
    const reason =
      /^the image 127\.0\.0\.1:1\/nobody\/nothing:1 is not there, and docker could not fetch it: .*refused/;
    await expect(resolve(spec({ command: image }))).rejects.toThrow(reason);
  });

  function inspect({ container }: Command, format: string): string {
    const args = ["container", "inspect", "--format", format, container!.name];
    return execFileSync(docker, args, { stdio: "pipe" }).toString().trim();
  }
});
