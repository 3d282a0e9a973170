import { basename } from "node:path/posix";
import { dockerRun } from "./docker-run.ts";
import { mcpRemote } from "./mcp-remote.ts";

/** How a server is started, as a client's file says it. Its values are as they are there. */
export interface Launch {
  readonly command: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly cwd?: string | undefined;
}

/** The same as tollgate.yaml says it. `warnings` are for whoever takes it over. */
export type Form = (
  | {
      readonly type: "npx" | "node" | "python" | "uv" | "command" | "container";
      readonly command: string;
      readonly args: readonly string[];
      readonly env: Readonly<Record<string, string>>;
      readonly cwd?: string | undefined;
    }
  | {
      readonly type: "remote";
      readonly url: string;
      readonly headers: Readonly<Record<string, string>>;
      readonly transport?: "streamable-http" | "sse" | undefined;
    }
) & { readonly warnings: readonly string[] };

const NPM_PACKAGE = /^(?:@[a-z0-9][\w.~-]*\/)?[a-z0-9][\w.~-]*(?:@[\w.+~^-]+)?$/i;
const EXACT_NPM = /.@v?\d+\.\d+\.\d+(?:[-+][\w.+-]+)?$/;
const EXACT_PYPI = /(?:==|@)\d+(?:\.\d+)*[\w.+]*$/;
/** Programs of npm's family, and what stands between them and the package's name. */
const NPM_RUNNERS: ReadonlyMap<string, readonly string[]> = new Map([
  ["npx", []],
  ["bunx", []],
  ["pnpx", []],
  ["pnpm", ["dlx"]],
  ["yarn", ["dlx"]],
  ["npm", ["exec"]],
  ["bun", ["x"]],
]);

/** The form that keeps most of what Tollgate can do for the type: pinned, installed once, without a shell between. */
export function formOf(given: Launch): Form {
  const launch = withoutShell(given);
  const form = bestForm(launch);
  // In an entry, a command that is called like its type is the familiar form's.
  const isMistakable = "command" in form && [form.type, "python3"].includes(form.command);
  return isMistakable ? asCommand(launch) : form;
}

function bestForm(launch: Launch): Form {
  const program = programOf(launch.command);
  const before = NPM_RUNNERS.get(program);
  if (before !== undefined) return npmForm(launch, before) ?? asCommand(launch);
  switch (program) {
    case "uvx":
      return uvxForm(launch, launch.args);
    case "uv":
      return uvForm(launch);
    case "docker":
    case "podman":
      return dockerRun(launch) ?? asCommand(launch, `${program} is run as it is there: nothing limits its container`);
    case "python":
    case "python3":
      return pythonForm(launch);
    case "node":
      return nodeForm(launch);
    default:
      return asCommand(launch);
  }
}

function asCommand({ command, args, env, cwd }: Launch, ...warnings: string[]): Form {
  return { type: "command", command, args, env, cwd, warnings };
}

/** Without folder and without what Windows adds. */
function programOf(command: string): string {
  return basename(command.replaceAll("\\", "/"))
    .toLowerCase()
    .replace(/\.(?:exe|cmd|bat)$/, "");
}

/** `cmd /c npx …` is how Windows starts a script. */
function withoutShell(launch: Launch): Launch {
  const [option, command, ...args] = launch.args;
  const isShell = programOf(launch.command) === "cmd" && option?.toLowerCase() === "/c";
  return isShell && command !== undefined ? { ...launch, command, args } : launch;
}

/** Undefined where there are options that only the program itself understands. */
function npmForm(launch: Launch, before: readonly string[]): Form | undefined {
  const words = [...launch.args];
  for (const word of before) if (words.shift() !== word) return undefined;
  while (["-y", "--yes", "--", "-q", "--quiet"].includes(words[0] ?? "")) words.shift();
  const [name, ...args] = words;
  if (name === undefined || !NPM_PACKAGE.test(name)) return undefined;
  // npm's own separator: what follows is the package's.
  if (args[0] === "--") args.shift();
  if (/^mcp-remote(?:@|$)/.test(name)) {
    const remote = mcpRemote(args, launch.env);
    if (remote !== undefined) return remote;
  }
  const unpinned = EXACT_NPM.test(name) ? [] : [`${name} names no exact version: what runs may change; pin it`];
  return { type: "npx", command: name, args, env: launch.env, cwd: launch.cwd, warnings: unpinned };
}

/** uv's type installs what a project's lock file says; a package by its name has none. */
function uvxForm(launch: Launch, words: readonly string[]): Form {
  const from = words.indexOf("--from");
  const name = from >= 0 ? words[from + 1] : words.find((word) => !word.startsWith("-"));
  const unpinned =
    name === undefined || EXACT_PYPI.test(name) ? [] : [`${name} names no exact version: what runs may change; pin it`];
  const warning = "uvx has to be on the runner's PATH, and fetches the package when it starts";
  return asCommand({ ...launch, command: "uvx", args: words }, warning, ...unpinned);
}

function uvForm(launch: Launch): Form {
  const words = [...launch.args];
  if (words[0] === "tool" && words[1] === "run") return uvxForm(launch, words.slice(2));
  let cwd = launch.cwd;
  const takeFolder = (): boolean => {
    const [option, folder] = words;
    if (!["--directory", "--project"].includes(option ?? "") || folder === undefined) return false;
    words.splice(0, 2);
    cwd = folder;
    return true;
  };
  while (takeFolder());
  if (words.shift() !== "run") return asCommand(launch);
  while (takeFolder());
  if (words[0] === "python" || words[0] === "python3") words.shift();
  const [command, ...args] = words;
  // Other options change what is installed, which is the lock file's business here.
  const isPlain = command !== undefined && (command === "-m" || !command.startsWith("-"));
  if (!isPlain || cwd === undefined) return asCommand(launch);
  return { type: "uv", command, args, env: launch.env, cwd, warnings: [`${cwd} has to have a uv.lock`] };
}

function pythonForm(launch: Launch): Form {
  const [script, ...args] = launch.args;
  // A program given with its folder is that of an environment which has what the script needs.
  const isPlain = !/[\\/]/.test(launch.command) && script !== undefined && (script === "-m" || !script.startsWith("-"));
  if (!isPlain || (script === "-m" && args.length === 0)) return asCommand(launch);
  const warning = "it gets a virtual environment of its own: name what it needs in requirements";
  return { type: "python", command: script, args, env: launch.env, cwd: launch.cwd, warnings: [warning] };
}

function nodeForm(launch: Launch): Form {
  const [script, ...args] = launch.args;
  if (/[\\/]/.test(launch.command) || script === undefined || script.startsWith("-")) return asCommand(launch);
  return { type: "node", command: script, args, env: launch.env, cwd: launch.cwd, warnings: [] };
}
