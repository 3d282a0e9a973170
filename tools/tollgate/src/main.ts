import { resolve } from "node:path";
import { runProgram } from "./program.ts";
import { openStreams } from "./terminal.ts";

process.exitCode = await runProgram({
  root: resolve(import.meta.dirname, "../../.."),
  // npm runs scripts in the project's folder; what the user writes is relative to where they are.
  here: process.env["INIT_CWD"] ?? process.cwd(),
  env: process.env,
  words: process.argv.slice(2),
  script: import.meta.filename,
  streams: openStreams(),
});
// An open channel would keep this process alive.
if (process.connected) process.disconnect();
