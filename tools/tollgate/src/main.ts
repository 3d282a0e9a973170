import { resolve } from "node:path";
import { type Command, parseCommandLine, type UpCommand, USAGE } from "./command-line.ts";
import type { BackgroundMessage } from "./detach.ts";
import { stateDirAt, type StateDir } from "./state-dir.ts";

/** A terminal sends Ctrl-C to the whole group and npm passes it on, so one press may come twice. */
const SAME_PRESS_MS = 1_000;
const root = resolve(import.meta.dirname, "../../..");
// npm runs scripts in the project's folder; what the user writes is relative to where they are.
const here = process.env["INIT_CWD"] ?? process.cwd();
const words = process.argv.slice(2);

process.exitCode = await run(parseCommandLine(words));
// An open channel would keep this process alive.
if (process.connected) process.disconnect();

async function run(command: Command): Promise<number> {
  if (command.kind === "help") return say(USAGE, 0);
  if (command.kind === "mistake") return say(`${command.message}\n\n${USAGE}`, 2);
  const state = stateDirAt(
    command.stateDir === undefined ? resolve(root, ".tollgate") : resolve(here, command.stateDir),
  );
  try {
    if (command.kind === "up") return await start(command, state);
    if (command.kind === "setup") {
      const { setup } = await import("./setup.ts");
      return say(await setup({ root, state, env: process.env }), 0);
    }
    const { stop } = await import("./stop.ts");
    return say(`${await stop(state)}\n`, 0);
  } catch (error) {
    return fail(error as Error);
  }
}

async function start(command: UpCommand, state: StateDir): Promise<number> {
  const ending = new AbortController();
  const kill = endOnSignals(ending, command.background);
  if (command.detach) {
    const { startInBackground } = await import("./detach.ts");
    const { signal } = ending;
    const rest = words.filter((word) => word !== "--detach");
    return startInBackground({ script: process.argv[1]!, words: rest, state, write, signal });
  }
  const { AlreadyRunning, up } = await import("./up.ts");
  const { openScreen } = await import("./screen.ts");
  let isReady = false;
  if (command.background) process.on("disconnect", () => isReady || ending.abort());
  try {
    await up({
      command,
      root,
      state,
      configFile: command.configFile === undefined ? resolve(root, "tollgate.yaml") : resolve(here, command.configFile),
      env: process.env,
      openScreen: () => openScreen({ write: command.background ? tell : write, logFile: state.logFile("launcher") }),
      signal: ending.signal,
      onKillable: (end) => kill.push(end),
      onReady: () => {
        isReady = true;
        if (command.background) process.send?.({ ready: true } satisfies BackgroundMessage);
      },
    });
    return 0;
  } catch (error) {
    const code = error instanceof AlreadyRunning ? 0 : 1;
    if (!command.background || !process.connected) return say(`${(error as Error).message}\n`, code);
    process.send?.({ failed: (error as Error).message, code } satisfies BackgroundMessage);
    return code;
  } finally {
    kill.length = 0;
  }
}

/** The first signal ends everything in order, the second at once. Also when this process is about to crash. */
function endOnSignals(ending: AbortController, background: boolean): (() => void)[] {
  const kill: (() => void)[] = [];
  let firstAt = 0;
  const onSignal = () => {
    if (!ending.signal.aborted) {
      firstAt = Date.now();
      ending.abort();
    } else if (Date.now() - firstAt > SAME_PRESS_MS) process.exit(130);
  };
  for (const name of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(name, onSignal);
  // The bootstrap runs as long as this process does, and passes on what only it was told.
  if (!background) for (const event of ["disconnect", "message"] as const) process.on(event, () => ending.abort());
  process.on("exit", () => kill.forEach((end) => end()));
  return kill;
}

function write(text: string): void {
  process.stdout.write(text);
}

function tell(text: string): void {
  if (process.connected) process.send?.({ text } satisfies BackgroundMessage);
}

function say(text: string, code: number): number {
  (code === 0 ? process.stdout : process.stderr).write(text);
  return code;
}

function fail(error: Error): number {
  return say(`${error.message}\n`, 1);
}
