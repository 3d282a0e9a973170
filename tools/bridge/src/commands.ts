import type { Readable, Writable } from "node:stream";
import type { Place } from "./client-files.ts";
import { type Command, USAGE } from "./command-line.ts";
import { ConfigError, loadConfig } from "./config.ts";
import { chooseTools } from "./tool-set.ts";

/** What a command may use of the process that it runs in. */
export interface Surroundings {
  readonly version: string;
  readonly nodeVersion: string;
  /** The absolute path of this program, for a client's configuration. */
  readonly bundle: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** The folder in which the client has started the bridge. */
  readonly workspace: string | undefined;
  readonly place: Place;
  readonly stdin: Readable;
  readonly stdout: Writable;
  readonly writeError: (line: string) => void;
  /** Aborted when the process is asked to stop. */
  readonly signal: AbortSignal;
}

/** Carries a command out. Returns the exit code: 0, 1 when it failed, 2 when it was called wrongly. */
export async function execute(command: Command, around: Surroundings): Promise<number> {
  try {
    return await dispatch(command, around);
  } catch (error) {
    const problems =
      error instanceof ConfigError ? error.problems : [error instanceof Error ? error.message : String(error)];
    for (const problem of problems) around.writeError(`tollgate-bridge: ${problem}\n`);
    return error instanceof ConfigError ? 2 : 1;
  }
}

/** What only some commands need is loaded only by them: the relay has to be there at once. */
async function dispatch(command: Command, around: Surroundings): Promise<number> {
  const say = (line: string): void => void around.stdout.write(`${line}\n`);
  const sources = { env: around.env, home: around.place.home, workspace: around.workspace };
  switch (command.kind) {
    case "help":
      say(USAGE);
      return 0;
    case "version":
      say(around.version);
      return 0;
    case "wrong":
      around.writeError(`tollgate-bridge: ${command.problem}; see tollgate-bridge --help\n`);
      return 2;
    case "run": {
      const config = await loadConfig({ ...sources, flags: command.flags });
      const chosen = await chooseTools(config);
      const { runBridge } = await import("./service.ts");
      await runBridge({ ...around, config: { ...config, url: chosen.url }, chosen: chosen.why });
      return 0;
    }
    case "doctor": {
      const { diagnose } = await import("./doctor.ts");
      return (await diagnose({ ...around, sources: { ...sources, flags: command.flags }, say })) ? 0 : 1;
    }
    case "install": {
      const config = await loadConfig({ ...sources, flags: command.flags });
      const { install, snippet } = await import("./install.ts");
      const options = { ...command, ...around, url: config.url.href, token: config.token };
      const report = command.print ? { ok: true, text: snippet(options) } : await install(options);
      say(report.text);
      return report.ok ? 0 : 1;
    }
  }
}
