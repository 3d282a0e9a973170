import { access, mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { runToEnd } from "./process.ts";

const aptStepWithinMs = 90_000;
const mirrorsMax = 4;

/** Of each distribution the newest suite, and the key that proves that what a mirror gave is the distribution's own. */
const DISTRIBUTIONS = [
  { newest: "sid", component: "main", keyring: "/usr/share/keyrings/debian-archive-keyring.gpg" },
  {
    newest: "devel",
    component: "universe",
    keyring: "/usr/share/keyrings/ubuntu-archive-keyring.gpg",
  },
] as const;

/**
 * Downloads a package with the machine's own mirrors, from the distribution's newest suite or from the one that the
 * machine has (what is newer may need a newer C library), and unpacks it below `workDir`; gives the unpacked root. Lists and caches are below `workDir` too, so that no root is needed and the machine's own apt is
 * left as it is. Errors never quote apt: a mirror's address may be private.
 */
export async function downloadDebianPackage(options: {
  readonly name: string;
  readonly suite: "newest" | "own";
  readonly workDir: string;
  readonly signal: AbortSignal;
}): Promise<string> {
  const sources = await listSources(options.suite === "own" ? await ownSuite() : undefined);
  if (sources.length === 0) throw new Error("this machine has no apt with a Debian or Ubuntu mirror");
  let reason = "";
  for (const [index, source] of sources.entries()) {
    const dir = join(options.workDir, String(index));
    const failed = await fetchAndUnpack({ ...options, dir, source });
    if (failed === undefined) return join(dir, "root");
    reason = failed;
  }
  throw new Error(reason);
}

/** The suite that the machine was installed from, by its code name (os-release(5)). */
async function ownSuite(): Promise<string> {
  const text = await readFile("/etc/os-release", "utf8").catch(() => "");
  const name = /^VERSION_CODENAME="?([\w-]+)"?$/m.exec(text)?.[1];
  if (name === undefined) throw new Error("this machine does not say which release it has");
  return name;
}

/** Every mirror of the machine with this suite, or the newest, of each distribution whose key it has, as deb822 text. */
async function listSources(own: string | undefined): Promise<string[]> {
  const mirrors = await listMirrors("/etc/apt");
  const sources: string[] = [];
  for (const { newest, component, keyring } of DISTRIBUTIONS) {
    const hasKey = await access(keyring).then(
      () => true,
      () => false,
    );
    if (!hasKey) continue;
    for (const mirror of mirrors)
      sources.push(
        `Types: deb\nURIs: ${mirror}\nSuites: ${own ?? newest}\nComponents: ${component}\nSigned-By: ${keyring}\n`,
      );
  }
  return sources;
}

/**
 * The mirrors in apt's own files, in apt's order. Third parties' are among them; they hold no signed suite of the
 * distribution, so that apt refuses them and the next is tried.
 */
export async function listMirrors(aptDir: string): Promise<string[]> {
  const parts = await readdir(join(aptDir, "sources.list.d")).catch(() => []);
  const files = parts
    .filter((name) => /\.(sources|list)$/.test(name))
    .toSorted()
    .map((name) => join(aptDir, "sources.list.d", name));
  const mirrors = new Set<string>();
  for (const file of [...files, join(aptDir, "sources.list")]) {
    const text = await readFile(file, "utf8").catch(() => "");
    for (const match of text.matchAll(/^(?:URIs:|deb(?:\s+\[[^\]]*\])?)[ \t]+(\S+)/gm)) {
      const url = match[1] ?? "";
      if (/^(?:https?|mirror|mirror\+\w+|file):/.test(url) && !/security/.test(url))
        mirrors.add(url.replace(/\/+$/, ""));
    }
  }
  return [...mirrors].slice(0, mirrorsMax);
}

/** Undefined when it worked, else why not. */
async function fetchAndUnpack(options: {
  readonly name: string;
  readonly dir: string;
  readonly source: string;
  readonly signal: AbortSignal;
}): Promise<string | undefined> {
  const { name, dir, signal } = options;
  for (const each of ["lists/partial", "cache/archives/partial", "sources", "deb", "root"])
    await mkdir(join(dir, each), { recursive: true });
  await writeFile(join(dir, "sources/suite.sources"), options.source);
  const config = join(dir, "apt.conf");
  await writeFile(config, aptConfig(dir));
  const steps = [
    ["apt-get", "-qq", "-c", config, "update"],
    ["apt-get", "-qq", "-c", config, "download", name],
  ] as const;
  for (const [file, ...args] of steps) {
    const { code } = await runToEnd(
      { file, args },
      { timeoutMs: aptStepWithinMs, signal, cwd: join(dir, "deb"), inheritEnvironment: true },
    );
    if (code !== 0) return `"apt-get ${args.slice(3).join(" ")}" ended with code ${code ?? "none"}`;
  }
  const packageFile = (await readdir(join(dir, "deb"))).find((file) => file.endsWith(".deb"));
  if (packageFile === undefined) return `apt-get gave no ${name}`;
  const unpacked = await runToEnd(
    { file: "dpkg", args: ["-x", join(dir, "deb", packageFile), join(dir, "root")] },
    { timeoutMs: aptStepWithinMs, signal },
  );
  return unpacked.code === 0 ? undefined : `dpkg -x ended with code ${unpacked.code ?? "none"}`;
}

/** A file and not -o options, because only a file can clear the machine's hooks, which want root and touch its own caches. */
function aptConfig(dir: string): string {
  return `Dir::State::Lists "${dir}/lists";
Dir::Cache "${dir}/cache";
Dir::Etc::SourceList "/dev/null";
Dir::Etc::SourceParts "${dir}/sources";
APT::Sandbox::User "root";
APT::Default-Release "";
APT::Update::Error-Mode "any";
Acquire::Languages "none";
Acquire::PDiffs "false";
Acquire::Retries "2";
Acquire::http::Timeout "20";
Acquire::https::Timeout "20";
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
`;
}
