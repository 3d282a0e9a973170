import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { eventually } from "@tollgate/testkit";
import { afterEach, describe, expect, it } from "vitest";

const PROGRAM = join(import.meta.dirname, "program.ts");
const SETTINGS = {
  TOLLGATE_SERVICE_KEY: "0123456789abcdef",
  TOLLGATE_DATABASE_URL: "postgres://tollgate_audit:secret-4@127.0.0.1/tollgate",
};

interface Program {
  readonly child: ChildProcess;
  /** The messages of its log so far. */
  said(): string[];
  output(): string;
  errors(): string;
  /** Its exit code, or the signal that ended it. */
  readonly ended: Promise<number | string>;
}

let running: ChildProcess | undefined;
afterEach(() => running?.kill("SIGKILL"));

function run(behaviour: string, options: { ipc?: boolean; env?: Record<string, string> } = {}): Program {
  const child = spawn(process.execPath, [PROGRAM], {
    env: { ...SETTINGS, TOLLGATE_BEHAVIOUR: behaviour, ...options.env },
    stdio: ["ignore", "pipe", "pipe", ...(options.ipc === true ? (["ipc"] as const) : [])],
  });
  running = child;
  let output = "";
  let errors = "";
  child.stdout!.setEncoding("utf8").on("data", (chunk: string) => (output += chunk));
  child.stderr!.setEncoding("utf8").on("data", (chunk: string) => (errors += chunk));
  const messages = () =>
    output
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => (JSON.parse(line) as { msg: string }).msg);
  // Not "close": that does not come for a child whose channel was disconnected here.
  const closed = Promise.all([child.stdout!, child.stderr!].map((stream) => once(stream, "close")));
  const ended = once(child, "exit").then(async ([code, signal]) => {
    await closed;
    return (code ?? signal) as number | string;
  });
  return { child, said: messages, output: () => output, errors: () => errors, ended };
}

async function runUntil(message: string, ...given: Parameters<typeof run>): Promise<Program> {
  const program = run(...given);
  await eventually(() => expect(program.said(), program.errors()).toContain(message));
  return program;
}

describe("a service that is told to stop", () => {
  it.each(["SIGTERM", "SIGINT"] as const)("by %s closes in order and exits with 0", async (signal) => {
    const program = await runUntil("ready", "run");
    program.child.kill(signal);
    expect(await program.ended).toBe(0);
    expect(program.said()).toEqual(["started", "ready", "stopping", "last closed", "first closed"]);
  });

  it("twice exits at once, with 130", async () => {
    const program = await runUntil("ready", "stuck");
    program.child.kill("SIGTERM");
    await eventually(() => expect(program.said()).toContain("last closed"));
    program.child.kill("SIGTERM");
    expect(await program.ended).toBe(130);
    expect(program.said()).not.toContain("first closed");
  });

  it("while it starts closes in order what it has started", async () => {
    const program = await runUntil("started", "slow");
    program.child.kill("SIGTERM");
    expect(await program.ended).toBe(0);
    expect(program.said()).toContain("first closed");
  });

  it("while its start hangs does not wait for it for ever", async () => {
    const program = await runUntil("started", "hang");
    program.child.kill("SIGTERM");
    expect(await program.ended).toBe(1);
    expect(program.said()).toContain("could not stop in order");
  });
});

describe("a service that a launcher started", () => {
  it("says to it when it is ready", async () => {
    const program = run("run", { ipc: true });
    expect(await once(program.child, "message")).toEqual([{ ready: true }, undefined]);
  });

  it("stops in order when the launcher ends", async () => {
    const program = await runUntil("ready", "run", { ipc: true });
    program.child.disconnect();
    expect(await program.ended).toBe(0);
    expect(program.said().slice(2)).toEqual(["stopping", "last closed", "first closed"]);
  });

  it("stops in order when the launcher ends before it is ready", async () => {
    const program = await runUntil("started", "slow", { ipc: true });
    program.child.disconnect();
    expect(await program.ended).toBe(0);
    expect(program.said()).toContain("first closed");
    expect(program.errors()).toBe("");
  });

  it("ends even when the launcher's end has taken its standard output away", async () => {
    const program = await runUntil("ready", "run", { ipc: true });
    program.child.stdout!.destroy();
    program.child.stderr!.destroy();
    program.child.disconnect();
    expect(await program.ended).toBe(0);
  });
});

describe("a service that cannot go on", () => {
  it("exits with 2 for a wrong configuration, with every mistake and no value", async () => {
    const program = run("dance", { env: { TOLLGATE_SERVICE_KEY: "secret-5", TOLLGATE_DATABASE_URL: "" } });
    expect(await program.ended).toBe(2);
    const [title, ...mistakes] = program.errors().trimEnd().split("\n");
    expect(title).toBe("program: wrong configuration:");
    expect(mistakes).toHaveLength(3);
    for (const name of ["SERVICE_KEY", "DATABASE_URL", "BEHAVIOUR"])
      expect(program.errors()).toContain(`TOLLGATE_${name}`);
    expect(program.errors()).not.toContain("secret-5");
    expect(program.errors()).not.toContain("dance");
    expect(program.output()).toBe("");
  });

  it("exits with 1 when it does not start, and says why", async () => {
    const program = run("fail");
    expect(await program.ended).toBe(1);
    expect(program.said()).toContain("failed to start");
    expect(program.output()).toContain("the port is taken");
  });

  it.each([
    ["throw", "nobody catches"],
    ["reject", "nobody waits"],
  ])("exits with 1 after an uncaught %s, and says which", async (behaviour, message) => {
    const program = run(behaviour);
    expect(await program.ended).toBe(1);
    expect(program.said()).toContain("ready");
    expect(program.output() + program.errors()).toContain(message);
  });
});

describe("a service's log", () => {
  it("names the service on each line, and holds no secrets", async () => {
    const program = await runUntil("ready", "run");
    program.child.kill("SIGTERM");
    await program.ended;
    for (const line of program.output().trimEnd().split("\n")) {
      expect(JSON.parse(line)).toMatchObject({ service: "program" });
    }
    expect(program.output()).not.toContain("secret-");
    expect(program.output()).toContain("[secret]");
  });

  it("is as loud as its level says", async () => {
    const program = run("run", { ipc: true, env: { TOLLGATE_LOG_LEVEL: "warn" } });
    await once(program.child, "message");
    program.child.kill("SIGTERM");
    expect(await program.ended).toBe(0);
    expect(program.output()).toBe("");
  });
});
