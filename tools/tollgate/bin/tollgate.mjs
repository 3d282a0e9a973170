#!/usr/bin/env node
// `npx tollgate …` in a clone. Plain JavaScript for any Node from 20 on: the bootstrap finds the one that runs the rest.
import { spawn } from "node:child_process";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const bootstrap = join(dirname(fileURLToPath(import.meta.url)), "../../bootstrap.mjs");
const child = spawn(process.execPath, [bootstrap, "tollgate", ...process.argv.slice(2)], { stdio: "inherit" });
// A terminal sends Ctrl-C to both; the child says when it has ended.
process.on("SIGINT", () => undefined);
for (const signal of ["SIGTERM", "SIGHUP"]) process.on(signal, () => child.kill(signal));
child.once("exit", (code) => {
  process.exitCode = code ?? 1;
});
