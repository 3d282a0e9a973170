import type { BackgroundMessage } from "./detach.ts";
import { listenForEnd } from "./ending.ts";
import { openScreen } from "./screen.ts";
import type { StateDir } from "./state-dir.ts";
import { AlreadyRunning, up, type UpCommand } from "./up.ts";

export interface LaunchOptions {
  readonly command: UpCommand;
  readonly root: string;
  readonly state: StateDir;
  readonly configFile: string;
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** Runs an installation for as long as this process lives, at a terminal or in the background; gives the exit code. */
export async function launch(options: LaunchOptions): Promise<number> {
  const { background } = options.command;
  const ending = listenForEnd({ background });
  let isReady = false;
  // Whoever waits for a launcher in the background may give up waiting; once it is ready, it goes on alone.
  const leave = new AbortController();
  if (background) process.on("disconnect", () => isReady || leave.abort());
  const tell = (message: BackgroundMessage) => void (process.connected && process.send?.(message));
  const write = (text: string) => (background ? tell({ text }) : void process.stdout.write(text));
  try {
    await up({
      ...options,
      openScreen: () => openScreen({ write, logFile: options.state.logFile("launcher") }),
      signal: AbortSignal.any([ending.signal, leave.signal]),
      onKillable: (kill) => ending.onKill(kill),
      onReady: () => {
        isReady = true;
        if (background) tell({ ready: true });
      },
    });
    return 0;
  } catch (error) {
    const { message } = error as Error;
    const code = error instanceof AlreadyRunning ? 0 : 1;
    if (background && process.connected) tell({ failed: message, code });
    else (code === 0 ? process.stdout : process.stderr).write(`${message}\n`);
    return code;
  } finally {
    ending.done();
  }
}
