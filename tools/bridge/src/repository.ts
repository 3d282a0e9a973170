import { readFile, stat } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";

/** Git's own files; none of these is ever large. */
const fileBytesMax = 1024 * 1024;
const repositoryLengthMax = 300;

export interface Repository {
  readonly root: string;
  /** The host and path of the remote "origin", such as `github.com/acme/shop`; undefined where it is on no other host. */
  readonly remote: string | undefined;
}

/** The Git repository that a folder is in. Reads Git's files itself: a program to ask would take longer than all else. */
export async function findRepository(folder: string): Promise<Repository | undefined> {
  for (let root = resolve(folder); ; root = dirname(root)) {
    const gitFolder = await gitFolderOf(root);
    if (gitFolder !== undefined) {
      const url = originUrl((await readSmall(join(gitFolder, "config"))) ?? "");
      return { root, remote: url === undefined ? undefined : repositoryOf(url) };
    }
    if (dirname(root) === root) return undefined;
  }
}

/** Where a repository's configuration is: worktrees and submodules have a file instead of a folder, which says where. */
async function gitFolderOf(root: string): Promise<string | undefined> {
  const path = join(root, ".git");
  const found = await stat(path).catch(() => undefined);
  if (found === undefined) return undefined;
  if (found.isDirectory()) return path;
  const elsewhere = /^gitdir: (.+)$/m.exec((await readSmall(path)) ?? "")?.[1];
  if (elsewhere === undefined) return undefined;
  const own = resolve(root, elsewhere.trim());
  const common = await readSmall(join(own, "commondir"));
  return common === undefined ? own : resolve(own, common.trim());
}

/** Undefined where there is no such file, or none that could be one of Git's. */
async function readSmall(path: string): Promise<string | undefined> {
  const found = await stat(path).catch(() => undefined);
  if (!found?.isFile() || found.size > fileBytesMax) return undefined;
  return readFile(path, "utf8").catch(() => undefined);
}

/** `url` of `[remote "origin"]` (git-config(1), "Configuration file"). */
function originUrl(config: string): string | undefined {
  let isOrigin = false;
  for (const line of config.split("\n")) {
    const section = /^\s*\[(.+)\]\s*(?:[#;].*)?$/.exec(line)?.[1];
    if (section !== undefined) isOrigin = /^remote\s+"origin"$/i.test(section.trim());
    const value = isOrigin ? /^\s*url\s*=\s*(.*?)\s*$/i.exec(line)?.[1] : undefined;
    if (value !== undefined && value !== "") return value.replace(/^"(.*)"$/, "$1");
  }
  return undefined;
}

/**
 * A remote's URL as host and path, without user, port and `.git` (git-clone(1), "GIT URLS"): `git@github.com:acme/shop.git`
 * and `https://token@github.com/acme/shop` are both `github.com/acme/shop`. Undefined for what is on this machine.
 */
export function repositoryOf(url: string): string | undefined {
  const parts = URL.canParse(url) && /^[a-z+]+:\/\//i.test(url) ? partsOf(new URL(url)) : partsOfScpForm(url);
  if (parts === undefined) return undefined;
  const path = parts.path.replace(/^\/+|\/+$/g, "").replace(/\.git$/, "");
  const repository = `${parts.host.toLowerCase()}/${path}`;
  return path !== "" && repository.length <= repositoryLengthMax ? repository : undefined;
}

interface Parts {
  readonly host: string;
  readonly path: string;
}

function partsOf({ protocol, hostname, pathname }: URL): Parts | undefined {
  if (!["http:", "https:", "ssh:", "git:", "git+ssh:"].includes(protocol) || hostname === "") return undefined;
  try {
    return { host: hostname, path: decodeURIComponent(pathname) };
  } catch {
    return undefined;
  }
}

/** `user@host:path`. A single letter before the colon is a drive. */
function partsOfScpForm(text: string): Parts | undefined {
  const found = /^(?:[^@/\\]+@)?([A-Za-z0-9.-]{2,}):(?!\/\/)([^\\]+)$/.exec(text);
  return found ? { host: found[1]!, path: found[2]! } : undefined;
}
