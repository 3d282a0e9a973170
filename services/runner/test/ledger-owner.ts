/** A runner's part in the ledger's tests: starts a group of processes, says which, and waits to be killed. */
import { createLog } from "@tollgate/service";
import { openContainment } from "../src/containment/containment.ts";
import { startProcess } from "../src/upstream/stdio-process.ts";
import { containedSpec } from "./contained-spec.ts";

const log = createLog({ name: "ledger owner", level: "silent" });
const [stateDir = "", cgroup = "auto"] = process.argv.slice(2);
const containment = await openContainment({
  stateDir,
  bwrap: "none",
  cgroup,
  hiddenFolders: [],
  baseEnv: {},
  log,
});
const server = startProcess({
  contained: containment.contain(containedSpec(), {
    command: "/bin/sh",
    args: ["-c", "setsid sleep 300 & daemon=$!; sleep 300 & echo $! $daemon; wait"],
    env: { PATH: "/usr/bin:/bin" },
    cwd: stateDir,
    files: [],
  }),
  lineMaxBytes: 1_000,
  onLine: (line) => void process.stdout.write(`${server.pid} ${line}\n`),
  onStderr: () => undefined,
  onExit: () => undefined,
});
