import { realpathSync } from "node:fs";
import { homedir } from "node:os";
import { fileURLToPath } from "node:url";
import manifest from "../package.json" with { type: "json" };
import { parseCommandLine } from "./command-line.ts";
import { execute } from "./commands.ts";

const stopping = new AbortController();
for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.on(signal, () => (stopping.signal.aborted ? process.exit(0) : stopping.abort()));
}
process.stderr.on("error", () => {}); // Nobody reads the log: no reason to stop relaying.

const command = parseCommandLine(process.argv.slice(2));
const code = await execute(command, {
  version: manifest.version,
  nodeVersion: process.versions.node,
  bundle: realpathSync(fileURLToPath(import.meta.url)),
  env: process.env,
  workspace: currentFolder(),
  place: { platform: process.platform, home: homedir(), appData: process.env["APPDATA"] },
  stdin: process.stdin,
  stdout: process.stdout,
  writeError: (line) => void process.stderr.write(line),
  signal: stopping.signal,
});
process.exitCode = code;
// The relay may leave sockets or a half-read stdin behind; the other commands end by themselves, their output written.
if (command.kind === "run") process.exit(code);

/** A folder may be deleted while someone works in it. */
function currentFolder(): string | undefined {
  try {
    return process.cwd();
  } catch {
    return undefined;
  }
}
