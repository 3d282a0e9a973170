import { constants, copyFile, mkdir, readFile, realpath, rename, stat, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { type ClientEntry, type ClientFile, clientFile, type ClientName, type Place } from "./client-files.ts";
import { isObject } from "./rpc-error.ts";

export interface InstallOptions {
  readonly client: ClientName;
  /** The server's name in the client. */
  readonly name: string;
  readonly url: string;
  readonly token: string;
  /** The bundle's own absolute path. */
  readonly bundle: string;
  readonly place: Place;
}

/** What to tell the user; `ok: false` when nothing was written. */
export interface InstallReport {
  readonly ok: boolean;
  readonly text: string;
}

/** The part of the client's file that holds the entry, ready to be pasted. */
export function snippet(options: InstallOptions): string {
  const file = clientFile(options.client, options.place);
  return JSON.stringify({ [file.container]: { [options.name]: entryOf(options, file) } }, null, 2);
}

/** Puts the entry into the client's file and leaves everything else in it as it is. */
export async function install(options: InstallOptions): Promise<InstallReport> {
  const file = clientFile(options.client, options.place);
  // A file that is a link (kept elsewhere with other settings) stays one: its target is written.
  const path = await realpath(file.path).catch(() => file.path);
  const before = await readFile(path, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return undefined;
    throw error;
  });
  const merged = merge(before ?? "", file.container, options.name, entryOf(options, file));
  if (!merged.ok) {
    const text = `${path} was left as it is: ${merged.problem}. Add this to it yourself:\n\n${snippet(options)}`;
    return { ok: false, text };
  }
  if (before === undefined) await mkdir(dirname(path), { recursive: true });
  else await backUp(path);
  const mode = before === undefined ? 0o600 : (await stat(path)).mode & 0o777;
  // Written beside it and renamed, so that a client never reads half a file.
  const draft = `${path}.${process.pid}.tmp`;
  await writeFile(draft, merged.text, { mode });
  await rename(draft, path);
  return {
    ok: true,
    text: `${path} now has the server "${options.name}". Restart the client to load it.`,
  };
}

function entryOf(options: InstallOptions, file: ClientFile): ClientEntry {
  return {
    ...(file.typed && { type: "stdio" }),
    command: "node",
    args: [options.bundle, "--url", options.url],
    // Not among the arguments: every user of the machine can read those in the process list.
    env: { TOLLGATE_TOKEN: options.token },
  };
}

type Merged = { readonly ok: true; readonly text: string } | { readonly ok: false; readonly problem: string };

function merge(before: string, container: string, name: string, entry: ClientEntry): Merged {
  const source = before.replace(/^\uFEFF/, "");
  let root: unknown = {};
  try {
    if (source.trim() !== "") root = JSON.parse(source);
  } catch (error) {
    if (/^\s*(\/\/|\/\*)/m.test(source) || /[,{[]\s*\/[/*]/.test(source)) {
      return { ok: false, problem: "it holds comments, which writing it would lose" };
    }
    return {
      ok: false,
      problem: `it is not valid JSON (${error instanceof Error ? error.message : String(error)})`,
    };
  }
  if (!isObject(root)) return { ok: false, problem: "it does not hold a JSON object" };
  const servers = Object.hasOwn(root, container) ? root[container] : {};
  if (!isObject(servers)) return { ok: false, problem: `its "${container}" is not a JSON object` };
  const indent = /\n([ \t]+)"/.exec(source)?.[1] ?? "  ";
  return {
    ok: true,
    text: `${JSON.stringify({ ...root, [container]: { ...servers, [name]: entry } }, null, indent)}\n`,
  };
}

/** The first copy is the one worth keeping: it is from before the bridge ever touched the file. */
async function backUp(path: string): Promise<void> {
  await copyFile(path, `${path}.bak`, constants.COPYFILE_EXCL).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== "EEXIST") throw error;
  });
}
