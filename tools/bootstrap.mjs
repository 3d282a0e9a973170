// Runs on a bare machine: plain JavaScript, Node 20 or newer, no dependencies. Installs what package-lock.json names, then
// hands over to the real command on the Node that npm brought along.
import { execFileSync, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const NODE_MIN = 24;
const LINES_SHOWN_MAX = 20;
const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"];
const PARENT_CHECK_MS = 500;
/** Those of infra/compose/compose.yaml and of packages/testkit. */
const IMAGES = ["nats:2.15-alpine", "timescale/timescaledb:2.19.3-pg17"];
const PULL_TIMEOUT_MS = 300_000;
const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const modules = join(root, "node_modules");
/** Programs of others that tests run; a package of its own, since nobody needs them to use Tollgate. */
const clients = join(root, "test", "clients");
const [command, ...words] = process.argv.slice(2);

const COMMANDS = {
  // A launcher is told to end by a channel.
  tollgate: (node) => run(node, ["tools/tollgate/src/main.ts", ...words], { ipc: words[0] === "up" }),
  test: runTests,
  bench: (node) => run(node, ["tools/bench/src/main.ts", ...words]),
  soak: (node) => run(node, ["tools/soak/src/main.ts", ...words]),
  revocation: (node) => run(node, ["tools/revocation/src/main.ts", ...words]),
  recording: (node) => run(node, ["tools/recording/src/main.ts", ...words]),
  conformance: runConformance,
};

process.exitCode = await main();

async function main() {
  if (!Object.hasOwn(COMMANDS, command)) {
    process.stderr.write(`Usage: node tools/bootstrap.mjs ${Object.keys(COMMANDS).join("|")} [ARGUMENTS]\n`);
    return 2;
  }
  // Nothing was installed, so nothing can run.
  const isStop = command === "tollgate" && words[0] === "stop";
  if (isStop && !existsSync(modules)) {
    process.stdout.write("Tollgate does not run.\n");
    return 0;
  }
  if (!isStop && !isInstalled(root)) {
    const code = await install(root);
    if (code !== 0) return code;
  }
  const node = findNode();
  if (node === undefined) {
    process.stderr.write(
      `Node ${NODE_MIN} or newer is needed, npm brought none for ${process.platform}-${process.arch}, and this one is ${process.version}: install it from https://nodejs.org\n`,
    );
    return 1;
  }
  return COMMANDS[command](node);
}

/** Known by a stamp that the last installation has left; or npm's own record says so, where someone else called npm. */
function isInstalled(dir) {
  const stamp = join(dir, "node_modules", ".tollgate-lock");
  if (existsSync(stamp)) return readFileSync(stamp, "utf8") === lockStamp(dir);
  const record = join(dir, "node_modules", ".package-lock.json");
  if (!existsSync(record)) return false;
  const wanted = JSON.parse(readFileSync(join(dir, "package-lock.json"), "utf8")).packages;
  const present = JSON.parse(readFileSync(record, "utf8")).packages;
  const isThere = ([path, { version, optional, link }]) =>
    !path.startsWith("node_modules/") || optional || (present[path] && (link || present[path].version === version));
  if (!Object.entries(wanted).every(isThere)) return false;
  writeFileSync(stamp, lockStamp(dir));
  return true;
}

function lockStamp(dir) {
  const hash = createHash("sha256").update(readFileSync(join(dir, "package-lock.json")));
  return hash.update(`${process.platform}-${process.arch}`).digest("hex");
}

async function install(dir) {
  const since = Date.now();
  const what = dir === root ? "the dependencies" : "the programs that tests run";
  process.stdout.write(`Installing ${what}, this once …\n`);
  const logDir = join(root, ".tollgate", "logs");
  mkdirSync(join(root, ".tollgate"), { recursive: true, mode: 0o700 });
  mkdirSync(logDir, { recursive: true, mode: 0o700 });
  const logFile = join(logDir, dir === root ? "npm.log" : `npm-${basename(dir)}.log`);
  const log = openSync(logFile, "w", 0o600);
  // Not `npm ci`, which refuses a lock file that was written on a platform with fewer optional packages than this one has.
  // What the lock file names is installed as it says, and it is not changed. The development tools are part of it, whatever
  // NODE_ENV says: the bridge is bundled here.
  const kinds = ["--include=dev", "--include=optional"];
  const flags = ["install", "--no-save", "--no-audit", "--no-fund", "--prefer-offline", "--prefix", dir, ...kinds];
  if (dir !== root) flags.push("--ignore-scripts");
  // Set by npm; other package managers set it, too.
  const npm = process.env.npm_execpath;
  const isNpm = npm !== undefined && /^npm-cli\.c?js$/.test(basename(npm));
  const [file, args] = isNpm ? [process.execPath, [npm, ...flags]] : ["npm", flags];
  const code = await run(file, args, { stdio: ["ignore", log, log] });
  closeSync(log);
  if (code === 0) {
    writeFileSync(join(dir, "node_modules", ".tollgate-lock"), lockStamp(dir));
    process.stdout.write(`✓ ${what} (${((Date.now() - since) / 1000).toFixed(1)} s)\n`);
    return 0;
  }
  const lines = readFileSync(logFile, "utf8").trimEnd().split("\n").slice(-LINES_SHOWN_MAX);
  process.stderr.write(`npm could not install ${what} (code ${code}); the end of ${logFile}:\n`);
  for (const line of lines) process.stderr.write(`  | ${line}\n`);
  return 1;
}

async function installClients() {
  return isInstalled(clients) ? 0 : install(clients);
}

async function runConformance(node) {
  const code = await makeReady(node);
  return code === 0 ? run(node, ["tools/conformance/src/main.ts", ...words]) : code;
}

/** What tests run beside the services: programs of others, and the bridge. */
async function makeReady(node) {
  return (await installClients()) || (await run(node, ["tools/bridge/build.mjs"]));
}

function findNode() {
  return [join(modules, ".bin", "node"), process.execPath].find((file) => {
    try {
      const version = execFileSync(file, ["--version"], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
      return Number.parseInt(version.slice(1), 10) >= NODE_MIN;
    } catch {
      return false;
    }
  });
}

async function runTests(node) {
  const vitest = [join(modules, "vitest", "vitest.mjs"), "run"];
  const ready = await makeReady(node);
  if (ready !== 0) return ready;
  const code = await run(node, [...vitest, ...words]);
  if (code !== 0 || words.length > 0 || !docker(["info"])) return code;
  const missing = IMAGES.find((image) => !docker(["image", "inspect", image]) && !docker(["pull", image]));
  if (missing !== undefined) {
    process.stdout.write(`Docker answers but cannot get ${missing}: the tests in containers are left out\n`);
    return 0;
  }
  process.stdout.write("Docker answers: the same integration tests in containers\n");
  return run(node, [...vitest, "services", "packages/bus"], { env: { TOLLGATE_TEST_BACKEND: "containers" } });
}

/** Whether the command succeeds. */
function docker(args) {
  try {
    execFileSync("docker", args, { stdio: "ignore", timeout: PULL_TIMEOUT_MS });
    return true;
  } catch {
    return false;
  }
}

/**
 * Runs a program to its end and gives its exit code. A terminal sends Ctrl-C to the program itself, which then ends in its
 * own way; a signal that only this process got is passed on, by a channel where the program would count it twice.
 */
function run(file, args, { stdio = "inherit", env = {}, ipc = false } = {}) {
  const ends = typeof stdio === "string" ? [stdio, stdio, stdio] : stdio;
  const path = `${join(modules, ".bin")}:${process.env.PATH ?? ""}`;
  const child = spawn(file, args, {
    cwd: root,
    stdio: ipc ? [...ends, "ipc"] : ends,
    env: {
      ...process.env,
      PATH: path,
      INIT_CWD: process.env.INIT_CWD ?? process.cwd(),
      NODE_COMPILE_CACHE: join(modules, ".cache", "node"),
      ...env,
    },
  });
  const passOn = (signal) => {
    if (ipc && child.connected) child.send("stop");
    else if (signal !== "SIGINT") child.kill(signal);
  };
  for (const signal of SIGNALS) process.on(signal, passOn);
  // npm passes a signal on to the shell between, which dies of it without a word to this process.
  const parent = process.ppid;
  const isByNpm = process.env.npm_lifecycle_event !== undefined;
  const orphaned = setInterval(() => isByNpm && process.ppid !== parent && passOn("SIGTERM"), PARENT_CHECK_MS);
  return new Promise((resolve) => {
    child.once("error", (error) => {
      process.stderr.write(`${file} cannot be run: ${error.message}\n`);
      resolve(1);
    });
    child.once("exit", (code, signal) => {
      clearInterval(orphaned);
      for (const each of SIGNALS) process.off(each, passOn);
      if (child.connected) child.disconnect();
      resolve(code ?? (signal === "SIGINT" ? 130 : 1));
    });
  });
}
