import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { eventually } from "@tollgate/testkit";
import { afterEach, describe, expect, test } from "vitest";
import { useContainment } from "./containment-fixture.ts";
import { startProcess, type StdioProcess } from "../src/upstream/stdio-process.ts";
import { containedSpec } from "./contained-spec.ts";
import { isRunning } from "./processes.ts";
import { useTempDir } from "./temp-dir.ts";

const LINE_MAX_BYTES = 1024 * 1024;

const dir = useTempDir();
const containment = await useContainment(dir);
const started: StdioProcess[] = [];
afterEach(async () => {
  await Promise.all(started.splice(0).map((each) => each.end()));
});

interface Watched {
  readonly server: StdioProcess;
  readonly lines: string[];
  readonly exits: string[];
}

function start(command: string, args: string[], cwd = dir): Watched {
  const lines: string[] = [];
  const exits: string[] = [];
  const server = startProcess({
    contained: containment.contain(containedSpec(), {
      command,
      args,
      env: { PATH: process.env["PATH"] ?? "" },
      cwd,
      files: [],
    }),
    lineMaxBytes: LINE_MAX_BYTES,
    onLine: (line) => void lines.push(line),
    onStderr: () => undefined,
    onExit: (reason) => exits.push(reason),
  });
  started.push(server);
  return { server, lines, exits };
}

const sh = (script: string) => start("/bin/sh", ["-c", script]);
const node = (script: string) => start(process.execPath, ["-e", script]);
const firstPid = (lines: readonly string[]) =>
  eventually(() => {
    expect(lines).not.toEqual([]);
    return Number(lines[0]);
  });

describe("ending", () => {
  test("one that ends when its input does gets no signal", async () => {
    const { server, exits } = sh("cat > /dev/null; exit 7");
    await server.end();
    expect(exits).toEqual(["exited with code 7"]);
  });

  test("takes the whole group along, whatever it ignores", async () => {
    const { server, lines, exits } = sh("trap '' TERM; sleep 300 & echo $!; while :; do sleep 1; done");
    const grandchild = await firstPid(lines);
    expect([isRunning(server.pid), isRunning(grandchild)]).toEqual([true, true]);
    await server.end();
    expect(exits).toEqual(["was ended by SIGKILL"]);
    await eventually(() => expect([isRunning(server.pid), isRunning(grandchild)]).toEqual([false, false]));
  });

  test("a grandchild that holds the output open does not hide the end of its parent, and ends with it", async () => {
    const { lines, exits } = sh("sleep 300 & echo $!; exit 3");
    const grandchild = await firstPid(lines);
    await eventually(() => expect(exits).toEqual(["exited with code 3"]), { timeoutMs: 5_000 });
    await eventually(() => expect(isRunning(grandchild)).toBe(false));
  });

  test("one that has left the group does not hide it either", async () => {
    const { lines, exits } = sh("setsid sh -c 'echo $$; exec sleep 300' & sleep 0.2; exit 3");
    const stranger = await firstPid(lines);
    await eventually(() => expect(exits).toEqual(["exited with code 3"]), { timeoutMs: 5_000 });
    process.kill(stranger, "SIGKILL");
  });

  test("the last lines come before the end", async () => {
    const { lines, exits } = sh("echo one; printf 'two\\nthree'; echo; exit 0");
    await eventually(() => expect(exits).toHaveLength(1));
    expect(lines).toEqual(["one", "two", "three"]);
  });

  test("leaves nothing in the ledger", async () => {
    const { server } = sh("cat");
    const entries = () => readdirSync(join(dir, "processes"));
    expect(entries()).toEqual([`${server.pid}.json`]);
    await server.end();
    expect(entries()).toEqual([]);
  });
});

describe("what cannot be started is said", () => {
  test("a missing command", async () => {
    const { exits } = start("/no/such/program", []);
    await eventually(() => expect(exits).toEqual(["the command /no/such/program was not found"]));
  });

  test("a missing working directory", async () => {
    const { exits } = start("/bin/sh", ["-c", "true"], join(dir, "nowhere"));
    await eventually(() => expect(exits).toEqual([`the working directory ${join(dir, "nowhere")} is not there`]));
  });

  test("a file that is no program", async () => {
    mkdirSync(join(dir, "bin"), { recursive: true });
    writeFileSync(join(dir, "bin", "data"), "data", { mode: 0o600 });
    const { server, exits } = start(join(dir, "bin", "data"), []);
    await eventually(() => expect(exits).toEqual([expect.stringMatching(/^could not be started: .*EACCES/)]));
    server.write("nobody reads this");
    await server.end();
    expect(exits).toHaveLength(1);
  });
});

describe("lines", () => {
  test("characters that are split over chunks stay whole", async () => {
    const text = "äöü€😀";
    const bytes = JSON.stringify([...Buffer.from(`${text}\n${text}\n`)]);
    const { lines } = node(`
      const bytes = ${bytes};
      const write = () => bytes.length > 0 && process.stdout.write(Buffer.from(bytes.splice(0, 1)), () => setTimeout(write, 2));
      write();`);
    await eventually(() => expect(lines).toEqual([text, text]));
  });

  test("many in one chunk, without the empty ones", async () => {
    const { lines } = sh("printf 'a\\n\\n  \\nb\\r\\nc\\n'");
    await eventually(() => expect(lines.map((line) => line.trim())).toEqual(["a", "b", "c"]));
  });

  test("what is written arrives in order, whatever its size", async () => {
    const { server, lines } = sh("cat");
    const sent = [1, 200_000, 10, 500_000, 2].map((size, i) => `${i}${"x".repeat(size)}`);
    for (const line of sent) server.write(line);
    await eventually(() => expect(lines).toHaveLength(sent.length));
    expect(lines).toEqual(sent);
  });

  test("one that is too long ends the process, with the reason", async () => {
    const { lines, exits } = node(`
      process.stdout.write("before\\n");
      const more = () => process.stdout.write("x".repeat(65_536), more);
      more();`);
    await eventually(() =>
      expect(exits).toEqual([`wrote a line longer than ${LINE_MAX_BYTES} bytes (limits.output_mb)`]),
    );
    expect(lines).toEqual(["before"]);
  });
});

test("of standard error the last is kept, and no more than a bound", async () => {
  const { server, exits } = node(`process.stderr.write("e".repeat(2_000_000) + "\\nthe last words\\n")`);
  await eventually(() => expect(exits).toHaveLength(1));
  expect(server.stderrTail()).toMatch(/\nthe last words$/);
  expect(server.stderrTail().length).toBeLessThanOrEqual(4_000);
});
