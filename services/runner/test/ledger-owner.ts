/** A runner's part in the ledger's tests: starts a group of processes, says which, and waits to be killed. */
import { openLedger } from "../src/upstream/process-ledger.ts";
import { startProcess } from "../src/upstream/stdio-process.ts";

const [stateDir = ""] = process.argv.slice(2);
const { ledger } = openLedger(stateDir);
const server = startProcess({
  command: "/bin/sh",
  args: ["-c", "sleep 300 & echo $!; wait"],
  env: {},
  cwd: stateDir,
  lineMaxBytes: 1_000,
  ledger,
  onLine: (line) => process.stdout.write(`${server.pid} ${line}\n`),
  onStderr: () => undefined,
  onExit: () => undefined,
});
