import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";

const START_TIMEOUT_MS = 20_000;

export const SERVER_PROGRAM: string = join(import.meta.dirname, "server/main.ts");

export interface FixtureProcess {
  readonly url: string;
  readonly stop: () => Promise<void>;
}

/** The conformance server as a process of its own, listening on a port of its choice. */
export async function startFixture(...args: readonly string[]): Promise<FixtureProcess> {
  const child = spawn(process.execPath, [SERVER_PROGRAM, ...args], { stdio: ["ignore", "pipe", "inherit"] });
  const stop = async (): Promise<void> => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill();
    await once(child, "exit");
  };
  try {
    const signal = AbortSignal.timeout(START_TIMEOUT_MS);
    const [line] = (await once(createInterface({ input: child.stdout }), "line", { signal })) as [string];
    const { url } = JSON.parse(line) as { url: string };
    return { url, stop };
  } catch (error) {
    await stop();
    throw new Error(`the conformance server did not start: ${args.join(" ")}`, { cause: error });
  }
}
