import { resolve } from "node:path";
import { type Command, parseCommandLine, USAGE } from "./command-line.ts";
import { stateDirAt } from "./state-dir.ts";

const root = resolve(import.meta.dirname, "../../..");
// npm runs scripts in the project's folder; what the user writes is relative to where they are.
const here = process.env["INIT_CWD"] ?? process.cwd();
const words = process.argv.slice(2);

process.exitCode = await run(parseCommandLine(words)).catch((error: Error) => say(`${error.message}\n`, 1));
// An open channel would keep this process alive.
if (process.connected) process.disconnect();

async function run(command: Command): Promise<number> {
  if (command.kind === "help") return say(USAGE, 0);
  if (command.kind === "mistake") return say(`${command.message}\n\n${USAGE}`, 2);
  const state = stateDirAt(
    command.stateDir === undefined ? resolve(root, ".tollgate") : resolve(here, command.stateDir),
  );
  // Each command loads what it needs and no more: `stop` is quick, and `setup` runs where there is no PostgreSQL to embed.
  if (command.kind === "stop") {
    const { stop } = await import("./stop.ts");
    return say(`${await stop(state)}\n`, 0);
  }
  if (command.kind === "dead") {
    const { deadLetters } = await import("./dead-letters.ts");
    return say(await deadLetters(command, state), 0);
  }
  if (command.kind === "audit") {
    const { audit } = await import("./audit.ts");
    return audit(command, { here, state });
  }
  if (command.kind === "replay-calls" || command.kind === "replay-rebuild") {
    const { replay } = await import("./replay.ts");
    return replay(command, { root, here, state, env: process.env });
  }
  if (command.kind === "setup") {
    const { setup } = await import("./setup.ts");
    return say(await setup({ root, state, env: process.env }), 0);
  }
  if (command.detach) {
    const { startInBackground } = await import("./detach.ts");
    const rest = words.filter((word) => word !== "--detach");
    return startInBackground({ script: import.meta.filename, words: rest, state });
  }
  const { launch } = await import("./launch.ts");
  const configFile =
    command.configFile === undefined ? resolve(root, "tollgate.yaml") : resolve(here, command.configFile);
  return launch({ command, root, state, configFile, env: process.env });
}

function say(text: string, code: number): number {
  (code === 0 ? process.stdout : process.stderr).write(text);
  return code;
}
