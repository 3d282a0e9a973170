import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { dirname, join } from "node:path";
import { bubblewrapProgram, eventually } from "@tollgate/testkit";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { ContainedSpec } from "../src/containment/containment.ts";
import { containedSpec } from "./contained-spec.ts";
import { endOf, firstPid, type Held, outputOf, startHeld, useContainment } from "./containment-fixture.ts";
import { isRunning } from "./processes.ts";
import { useTempDir } from "./temp-dir.ts";

const dir = useTempDir();
const stateDir = join(dir, "state");
mkdirSync(join(stateDir, "servers", "installed"), { recursive: true });
writeFileSync(join(stateDir, "servers", "installed", "code"), "code\n");
writeFileSync(join(stateDir, "key"), "the key");

const containment = await useContainment(stateDir, { bwrap: (await bubblewrapProgram()) ?? "none" });
const { isolation } = containment.levelOf(containedSpec({ sandbox: { mode: "auto" } }));

const node = { command: process.execPath, files: [dirname(dirname(process.execPath)), process.execPath] };
const PATH = "/usr/local/bin:/usr/bin:/bin";

function start(
  script: string,
  sandbox: Partial<ContainedSpec["sandbox"]> = {},
  more: { env?: Record<string, string>; workingDir?: string; files?: string[]; args?: string[]; command?: string } = {},
): Held {
  const { env = {}, workingDir = "", files = [], command = "/bin/sh", args = ["-c", script] } = more;
  const spec = { ...containedSpec({ sandbox: { mode: "required", ...sandbox } }), env, workingDir };
  const cwd = workingDir === "" ? process.cwd() : workingDir;
  return startHeld(containment, spec, { command, args, env: { PATH, ...env }, cwd, files });
}

/** Without user namespaces, or without Linux, there is no sandbox to be tried. */
describe.skipIf(isolation !== "bubblewrap")("in a sandbox", () => {
  const declared = join(dir, "declared");
  const other = join(dir, "other");
  beforeAll(() => {
    for (const each of [declared, other]) {
      mkdirSync(join(each, "inner"), { recursive: true });
      writeFileSync(join(each, "text"), "what it says\n");
    }
  });

  test("no other process is visible", async () => {
    const pids = (await outputOf(start("cd /proc; echo [0-9]*"))).split(" ").map(Number);
    expect(Math.max(...pids)).toBeLessThan(10);
  });

  test("what was not declared cannot be read", async () => {
    const held = start(`cat ${join(other, "text")} 2>&1; ls ${dir} ${import.meta.dirname} 2>&1`);
    expect(await outputOf(held)).not.toMatch(/what it says|containment/);
    expect(held.lines.every((line) => line.includes("No such file"))).toBe(true);
  });

  test("what was declared can be read, and written only where that was declared", async () => {
    const script = `cat ${join(declared, "text")}; touch ${join(declared, "new")} 2>&1; touch ${join(declared, "inner", "new")} && echo written`;
    const said = await outputOf(start(script, { read: [declared], write: [join(declared, "inner")] }));
    expect(said).toMatch(/^what it says\n.*Read-only file system\nwritten$/);
  });

  test("a folder to read within one to write stays as it is", async () => {
    const script = `touch ${join(declared, "new")} && echo written; touch ${join(declared, "inner", "no")} 2>&1`;
    const said = await outputOf(start(script, { read: [join(declared, "inner")], write: [declared] }));
    expect(said).toMatch(/^written\n.*Read-only file system$/);
  });

  test("no device can be made and nothing mounted: the machine's disks would be a way out", async () => {
    const said = await outputOf(
      start("mknod $TMPDIR/disk b 8 0 2>&1 && echo MADE; mount -t tmpfs none $TMPDIR 2>&1 && echo MOUNTED; echo end"),
    );
    expect(said).toMatch(/end$/);
    expect(said).not.toMatch(/MADE|MOUNTED/);
  });

  test("the working directory can be read", async () => {
    const said = await outputOf(start("pwd; cat text; touch new 2>&1", {}, { workingDir: declared }));
    expect(said).toMatch(new RegExp(`^${declared}\nwhat it says\n.*Read-only file system$`));
  });

  test("a declared folder that is not there is said", () => {
    const missing = join(dir, "missing");
    expect(() => start("true", { read: [missing] })).toThrow(`server held: the folder ${missing} is not there`);
  });

  test("the rest of the system cannot be written", async () => {
    const said = await outputOf(start("for f in / /usr /etc /dev; do touch $f/new 2>&1; done; cat /etc/shadow 2>&1"));
    expect(said.match(/Read-only file system/g)).toHaveLength(4);
    expect(said).not.toContain("root:");
  });

  test("home and temporary files are its own, and empty", async () => {
    const env = { HOME: "/run/server", TMPDIR: "/tmp" };
    const held = start('ls -A "$HOME" "$TMPDIR" /home /root | grep -v :; pwd; echo kept > "$HOME/x" && cat "$HOME/x"');
    expect((await outputOf(held)).trim()).toBe(`${env.HOME}\nkept`);
    expect(held.contained.start.env).toMatchObject(env);
  });

  test("temporary files are bounded: they are in memory", async () => {
    const said = await outputOf(start("cd $TMPDIR; head -c 300000000 /dev/zero > big; stat -c %s big"));
    expect(Number(said)).toBe(256 * 1024 * 1024);
  });

  test("what the runner keeps cannot be read, but for what was installed for the server", async () => {
    const installed = join(stateDir, "servers", "installed");
    const script = `cat ${join(installed, "code")}; cat ${join(stateDir, "key")} 2>&1`;
    const said = await outputOf(start(script, { read: [dir] }, { files: [installed] }));
    expect(said).toMatch(/^code\n.*No such file/);
  });

  test("nor by way of a link to where it is", async () => {
    const link = join(dir, "link");
    symlinkSync(dir, link);
    const said = await outputOf(
      start(`cat ${join(link, "state", "key")} 2>&1; cat ${join(link, "other", "text")}`, { read: [link] }),
    );
    expect(said).toMatch(/No such file.*\nwhat it says$/);
  });

  test("the environment is what was declared", async () => {
    const said = await outputOf(start("env | sort", {}, { env: { DECLARED: "yes" } }));
    // PWD is the shell's own.
    expect(said).toBe(
      ["DECLARED=yes", "HOME=/run/server", `PATH=${PATH}`, "PWD=/run/server", "TMPDIR=/tmp"].join("\n"),
    );
  });

  test("Node runs in it", async () => {
    const more = { command: node.command, args: ["-e", "console.log(1 + 1)"], files: node.files };
    expect(await outputOf(start("", {}, more))).toBe("2");
  });

  describe("the network", () => {
    const server = createServer((socket) => socket.end("hello\n"));
    let port = 0;
    beforeAll(async () => {
      await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
      port = (server.address() as { port: number }).port;
    });
    afterAll(() => server.close());
    const connect = (network: boolean) =>
      outputOf(
        start(
          "",
          { network },
          {
            command: node.command,
            files: node.files,
            args: [
              "-e",
              `require("node:net").connect(${port}, "127.0.0.1").on("data", (d) => console.log(String(d))).on("error", (e) => console.log(e.code))`,
            ],
          },
        ),
      );

    test("is there where it may be", async () => {
      expect(await connect(true)).toBe("hello");
    });

    test("is not there where it is off", async () => {
      expect(await connect(false)).toBe("ECONNREFUSED");
    });
  });

  test("SIGTERM reaches the server, and its code comes out", async () => {
    const held = start(`trap 'echo goodbye; exit 7' TERM; echo ready; while :; do sleep 0.05; done`);
    await eventually(() => expect(held.lines).toEqual(["ready"]));
    await held.server.end();
    expect(held.lines).toEqual(["ready", "goodbye"]);
    expect(held.exits).toEqual(["exited with code 7"]);
  });

  test("what a signal has ended inside is said", async () => {
    expect(await endOf(start("kill -KILL $$"))).toBe("exited with code 137 (SIGKILL)");
  });

  test("a missing command is said as without one", async () => {
    expect(await endOf(start("", {}, { command: "/no/such/program", args: [] }))).toBe(
      "the command /no/such/program was not found",
    );
  });

  test("nothing of it is left, whatever it has done", async () => {
    const held = start("setsid sh -c 'trap \"\" TERM; sleep 300' & trap '' TERM; echo $$; while :; do sleep 1; done");
    await firstPid(held);
    await eventually(() => expect(held.contained.usage()?.processes).toBeGreaterThanOrEqual(3));
    await held.server.end();
    expect(held.exits).toEqual(["was ended by SIGKILL"]);
    await eventually(() => expect(isRunning(held.server.pid)).toBe(false));
  });
});

describe("without bubblewrap", async () => {
  const without = await useContainment(join(dir, "without"), { bwrap: "no-bwrap" });

  test("a server that requires a sandbox is refused with what to do", () => {
    expect(() => without.levelOf(containedSpec({ sandbox: { mode: "required" } }))).toThrow(
      "server held requires a sandbox, and bubblewrap is not there; install it with: apt-get install bubblewrap",
    );
  });

  test("one that takes what there is goes without", () => {
    expect(without.levelOf(containedSpec({ sandbox: { mode: "auto" } })).isolation).toBe("none");
  });
});

test("what does not work is said", async () => {
  const broken = await useContainment(join(dir, "broken"), { bwrap: "/bin/false" });
  expect(() => broken.levelOf(containedSpec({ sandbox: { mode: "required" } }))).toThrow(
    /^server held requires a sandbox, and bubblewrap does not work here: /,
  );
});

test("levels of what is no process of ours", () => {
  const spec = containedSpec();
  expect(containment.levelOf({ ...spec, type: "container" })).toEqual({ isolation: "container", limitsBy: "engine" });
  expect(containment.levelOf({ ...spec, url: "http://127.0.0.1:1" })).toEqual({ isolation: "", limitsBy: "" });
});
