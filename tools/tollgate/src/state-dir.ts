import { accessSync, chmodSync, constants, existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { join, resolve } from "node:path";

/** Where an installation keeps what outlives it; see README.md. */
export interface StateDir {
  readonly dir: string;
  readonly secretsFile: string;
  readonly runFile: string;
  readonly connectFile: string;
  readonly welcomeFile: string;
  readonly natsDir: string;
  readonly postgresDir: string;
  readonly runnerDir: string;
  readonly envDir: string;
  readonly filesDir: string;
  readonly logsDir: string;
  /** What a launcher in the background writes when it crashes. Outside of the logs: a reset removes those while it runs. */
  readonly backgroundLog: string;
  logFile(name: string): string;
}

const FOLDERS = ["env", "files", "logs", "runner"] as const;
/** All that a reset removes. Nothing else is touched, whatever folder --state names. */
const ENTRIES = [
  ...FOLDERS,
  "nats",
  "pg",
  "pg.new",
  "secrets.json",
  "run.json",
  "connect.json",
  "welcome.txt",
] as const;

export function stateDirAt(path: string): StateDir {
  const dir = resolve(path);
  const logsDir = join(dir, "logs");
  return {
    dir,
    secretsFile: join(dir, "secrets.json"),
    runFile: join(dir, "run.json"),
    connectFile: join(dir, "connect.json"),
    welcomeFile: join(dir, "welcome.txt"),
    natsDir: join(dir, "nats"),
    postgresDir: join(dir, "pg"),
    runnerDir: join(dir, "runner"),
    envDir: join(dir, "env"),
    filesDir: join(dir, "files"),
    logsDir,
    backgroundLog: join(dir, "launcher-output.log"),
    logFile: (name) => join(logsDir, `${name}.log`),
  };
}

/** Makes the folders, closed to others: what is in them is secret or a tenant's. */
export function prepareStateDir(state: StateDir): void {
  mkdirSync(state.dir, { recursive: true, mode: 0o700 });
  chmodSync(state.dir, 0o700);
  for (const name of FOLDERS) mkdirSync(join(state.dir, name), { recursive: true, mode: 0o700 });
}

const WELCOME_FILE = `This folder is the only one that the server "filesystem" can read and write.\n`;

/** The folder of the `filesystem` server, with something in it to read. */
export function prepareFilesDir(dir: string): void {
  const isNew = !existsSync(join(dir, "welcome.txt"));
  mkdirSync(dir, { recursive: true });
  if (isNew) writeFileSync(join(dir, "welcome.txt"), WELCOME_FILE);
}

export function clearStateDir(state: StateDir): void {
  for (const name of ENTRIES) rmSync(join(state.dir, name), { recursive: true, force: true });
}

/** Replaces a file as a whole, readable by its owner only. */
export function writePrivateFile(file: string, text: string): void {
  const part = `${file}.${process.pid}.part`;
  rmSync(part, { force: true });
  writeFileSync(part, text, { mode: 0o600, flag: "wx" });
  renameSync(part, file);
}

/** Where downloads are kept for all clones of one user; in the state where the user has no home to write to. */
export function downloadsDir(state: StateDir): string {
  try {
    accessSync(homedir(), constants.W_OK);
    return join(homedir(), ".cache", "tollgate");
  } catch {
    return join(state.dir, "downloads");
  }
}
