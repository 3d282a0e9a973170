import { resolve } from "node:path";
import { readConnect } from "./connect.ts";
import type { ReplayCommand } from "./replay-command.ts";
import { openSecrets } from "./secrets.ts";
import type { StateDir } from "./state-dir.ts";

/** Gives the exit code: 1 where what comes out now is not what there was. */
export async function replay(
  command: ReplayCommand,
  options: { root: string; here: string; state: StateDir; env: Readonly<Record<string, string | undefined>> },
): Promise<number> {
  const { root, here, state, env } = options;
  const connect = readConnect(state);
  const output = {
    line: (text: string) => void process.stdout.write(`${text}\n`),
    progress: (text: string) => void process.stderr.write(`${text}\n`),
  };
  if (command.kind === "replay-rebuild") {
    const { rebuild } = await import("./replay-rebuild.ts");
    const { databaseUrl } = command;
    return (await rebuild({ root, state, connect, secrets: openSecrets(state), databaseUrl, env, output })) ? 0 : 1;
  }
  const { replayCalls } = await import("./replay-calls.ts");
  const resumeFile = command.resumeFile === undefined ? undefined : resolve(here, command.resumeFile);
  return (await replayCalls({ ...command, resumeFile }, { connect, output })) === 0 ? 0 : 1;
}
