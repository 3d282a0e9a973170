import { readFile, stat, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { expect, test } from "vitest";
import { EmbeddedError, endLeftover, startNats } from "../src/index.ts";
import { commandLine, isAlive } from "../src/process.ts";
import { connectNats } from "./nats-client.ts";
import { natsServer, processesOf, scratchDir, track } from "./scratch.ts";

const password = 'p"a\\ss#{$x}';

async function options(): Promise<Parameters<typeof startNats>[0]> {
  const dir = await scratchDir();
  return {
    binary: await natsServer(),
    dataDir: join(dir, "nats"),
    port: 0,
    user: "tollgate",
    password,
    logFile: join(dir, "nats.log"),
  };
}

test("a started server takes its password and no other, and stop leaves nothing", { timeout: 180_000 }, async () => {
  const given = await options();
  const server = track(await startNats(given));
  (await connectNats(server.url)).close();
  const wrong = new URL(server.url);
  wrong.password = "wrong";
  await expect(connectNats(wrong.href)).rejects.toThrow(/Authorization Violation/);

  const config = join(given.dataDir, "nats-server.conf");
  expect((await stat(config)).mode & 0o777).toBe(0o600);
  expect(await commandLine(server.pid)).not.toContain("ss#");

  await server.stop();
  await server.stop();
  expect(isAlive(server.pid)).toBe(false);
  await expect(connectNats(server.url)).rejects.toThrow(/ECONNREFUSED|closed/);
});

test("a stream survives kill -9", { timeout: 60_000 }, async () => {
  const given = await options();
  const first = track(await startNats(given));
  const client = await connectNats(first.url);
  await client.request(
    "$JS.API.STREAM.CREATE.KEPT",
    JSON.stringify({ name: "KEPT", subjects: ["kept"], storage: "file" }),
  );
  expect(await client.request("kept", "hello")).toContain('"seq":1');
  process.kill(first.pid, "SIGKILL");
  expect(await first.exited).toBe(null);
  client.close();

  const second = track(await startNats({ ...given, port: first.port }));
  expect(second.port).toBe(first.port);
  const again = await connectNats(second.url);
  const info = JSON.parse(await again.request("$JS.API.STREAM.INFO.KEPT", "")) as {
    state: { messages: number };
  };
  expect(info.state.messages).toBe(1);
  again.close();
});

test("a second server on the same folder is refused, and a leftover can be ended", { timeout: 60_000 }, async () => {
  const given = await options();
  const server = track(await startNats(given));
  await expect(startNats(given)).rejects.toMatchObject({
    code: "already_exists",
    details: { pid: server.pid },
  });
  expect(await endLeftover({ dataDir: given.dataDir })).toBe(server.pid);
  await server.exited;
  expect(await endLeftover({ dataDir: given.dataDir })).toBe(undefined);
});

test("the pid of another program in the pid file does it no harm", { timeout: 60_000 }, async () => {
  const given = await options();
  const server = track(await startNats(given));
  await server.stop();
  await writeFile(join(given.dataDir, "nats-server.pid"), String(process.pid));
  expect(await endLeftover({ dataDir: given.dataDir })).toBe(undefined);
  const again = track(await startNats(given));
  expect(await readFile(join(given.dataDir, "nats-server.pid"), "utf8")).toContain(String(again.pid));
});

test("a taken port is said plainly", async () => {
  const holder = createServer();
  const port = await new Promise<number>((resolve) =>
    holder.listen(0, "127.0.0.1", () => {
      const address = holder.address();
      resolve(address && typeof address === "object" ? address.port : 0);
    }),
  );
  try {
    await expect(startNats({ ...(await options()), port })).rejects.toThrow(`127.0.0.1:${port}: the port is taken`);
  } finally {
    holder.close();
  }
});

test("a server that cannot start says why, with the end of its log", async () => {
  const given = await options();
  const failed = startNats({ ...given, binary: "/bin/false" });
  await expect(failed).rejects.toThrow(/NATS ended while it started \(code 1\); its log is empty/);
  await expect(startNats({ ...given, binary: "/nowhere/nats-server" })).rejects.toThrow(/cannot run \/nowhere/);
  await expect(startNats({ ...given, password: "$2a$04$abc" })).rejects.toMatchObject({
    code: "invalid_argument",
  });
});

test("a start can be cancelled and leaves no process", async () => {
  const given = await options();
  const signal = AbortSignal.abort();
  await expect(startNats({ ...given, signal })).rejects.toBeInstanceOf(EmbeddedError);
  expect(await processesOf(given.dataDir)).toEqual([]);
});
