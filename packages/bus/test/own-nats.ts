import { randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { findNatsServer, startNats } from "@tollgate/embedded";
import { afterAll, beforeAll } from "vitest";

/** A NATS server of this test file alone, that can be killed and started again with the streams that it had. */
export interface OwnNats {
  readonly url: string;
  start(): Promise<void>;
  /** As a crash or the kernel would: nothing is flushed, nobody is told. */
  kill(): Promise<void>;
}

export function useOwnNats(): OwnNats {
  const password = randomBytes(12).toString("hex");
  let dir: string;
  let server: Awaited<ReturnType<typeof startNats>> | undefined;
  let port = 0;

  async function start(): Promise<void> {
    const log = (line: string) => process.stderr.write(`${line}\n`);
    const binary = await findNatsServer({ cacheDir: join(homedir(), ".cache", "tollgate"), log });
    server = await startNats({
      binary,
      dataDir: join(dir, "data"),
      port,
      user: "tollgate",
      password,
      logFile: join(dir, "nats.log"),
      // Streams reserve what they may hold, and there are several installations' here.
      storeMaxGigabytes: 100,
    });
    port = server.port;
  }

  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), "tollgate-bus-"));
    await start();
  }, 60_000);
  afterAll(async () => {
    await server?.stop();
    await rm(dir, { recursive: true, force: true });
  });

  return {
    get url() {
      return `nats://tollgate:${password}@127.0.0.1:${port}`;
    },
    start,
    async kill() {
      process.kill(server!.pid, "SIGKILL");
      await server!.exited;
      server = undefined;
    },
  };
}
