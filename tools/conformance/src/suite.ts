import { spawn } from "node:child_process";
import { once } from "node:events";
import { glob, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { text } from "node:stream/consumers";

const CLIENTS = join(import.meta.dirname, "../../../test/clients/node_modules");
const SUITE = join(CLIENTS, "@modelcontextprotocol/conformance/dist/index.js");
const RUN_TIMEOUT_MS = 240_000;
const SCENARIO_TIMEOUT_MS = 20_000;

export const REVISIONS = ["2025-11-25", "2026-07-28"] as const;
export type Revision = (typeof REVISIONS)[number];

export type CheckStatus = "SUCCESS" | "FAILURE" | "WARNING" | "SKIPPED" | "INFO";

export interface Check {
  readonly id: string;
  readonly status: CheckStatus;
  readonly errorMessage?: string;
}

export interface SuiteRun {
  /** By scenario; those that the suite did not come to, when its time was over, are missing. */
  readonly scenarios: ReadonlyMap<string, readonly Check[]>;
  /** Scenarios that the suite runs and does not count: extensions, and what came after the revision. */
  readonly unscored: ReadonlySet<string>;
  readonly timedOut: boolean;
}

/** Runs what the revision requires of a server, and what the suite runs without counting it. */
export async function runServerSuite(url: string, revision: Revision): Promise<SuiteRun> {
  return withOutput(async (outputDir) => {
    const args = ["server", "--url", url, "--requirements", revision, "--output-dir", outputDir];
    const { output, code } = await runProgram(args, RUN_TIMEOUT_MS);
    return { scenarios: await readChecks(outputDir), unscored: unscoredIn(output), timedOut: code === undefined };
  });
}

/** The same of a client, which gets the server's URL as its last argument; without scenarios that begin with `without`. */
export async function runClientSuite(options: {
  command: string;
  revision: Revision;
  without: string;
}): Promise<SuiteRun & { readonly left: readonly string[] }> {
  const { command, revision, without } = options;
  const list = await runProgram(["list", "--requirements", revision], SCENARIO_TIMEOUT_MS);
  const { scored, unscored } = clientScenariosIn(list.output);
  const [left, wanted] = [scored.filter((name) => name.startsWith(without)), [...scored, ...unscored]];
  const scenarios = new Map<string, readonly Check[]>();
  let timedOut = false;
  // One by one: the suite itself starts all clients at once, which takes a small machine longer than it gives them.
  for (const name of wanted.filter((each) => !each.startsWith(without))) {
    const { checks, inTime } = await runClientScenario(name, command, revision);
    scenarios.set(name, checks);
    timedOut ||= !inTime;
  }
  return { scenarios, unscored: new Set(unscored), timedOut, left };
}

async function runClientScenario(name: string, command: string, revision: Revision) {
  return withOutput(async (outputDir) => {
    const bounds = ["--timeout", String(SCENARIO_TIMEOUT_MS), "--output-dir", outputDir];
    const args = ["client", "--command", command, "--scenario", name, "--spec-version", revision, ...bounds];
    const { code } = await runProgram(args, 2 * SCENARIO_TIMEOUT_MS);
    const checks = [...(await readChecks(outputDir)).values()].flat();
    // What a client does when it fails itself is in no check.
    const failed = code !== 0 && !checks.some(({ status }) => status === "FAILURE" || status === "WARNING");
    const end: Check = { id: "client-ended", status: "FAILURE", errorMessage: "the client failed" };
    return { checks: failed ? [...checks, end] : checks, inTime: code !== undefined };
  });
}

async function withOutput<T>(use: (outputDir: string) => Promise<T>): Promise<T> {
  const outputDir = await mkdtemp(join(tmpdir(), "tollgate-conformance-suite-"));
  try {
    return await use(outputDir);
  } finally {
    await rm(outputDir, { recursive: true, force: true });
  }
}

/** `code` is undefined when it was stopped. */
async function runProgram(args: string[], timeoutMs: number): Promise<{ output: string; code: number | undefined }> {
  const child = spawn(process.execPath, [SUITE, ...args], { stdio: ["ignore", "pipe", "ignore"] });
  const timer = setTimeout(() => child.kill("SIGKILL"), timeoutMs);
  const [output, [code]] = await Promise.all([text(child.stdout), once(child, "exit") as Promise<[number | null]>]);
  clearTimeout(timer);
  return { output, code: code ?? undefined };
}

/** `  - tools_call` below a headline; those that do not count are marked: `    - tools_call [client]`. */
function clientScenariosIn(output: string): { scored: string[]; unscored: string[] } {
  const [, section = ""] = /^Client scenarios.*\n((?: {2}- .*\n)*)/m.exec(output) ?? [];
  const named = (lines: string, line: RegExp): string[] => [...lines.matchAll(line)].map(([, name]) => name!);
  return { scored: named(section, /^ {2}- (\S+)$/gm), unscored: named(output, /^ {4}- (\S+) \[client\]$/gm) };
}

/** The suite leaves `[server-]<scenario>-<time>/checks.json`; a scenario's name may hold slashes. */
async function readChecks(outputDir: string): Promise<Map<string, readonly Check[]>> {
  const scenarios = new Map<string, readonly Check[]>();
  const files: string[] = [];
  for await (const file of glob("**/checks.json", { cwd: outputDir })) files.push(file);
  for (const file of files.toSorted()) {
    const name = dirname(file)
      .replace(/^server-/, "")
      .replace(/-\d{4}-\d\d-\d\dT[\dZ-]+$/, "");
    scenarios.set(name, JSON.parse(await readFile(join(outputDir, file), "utf8")) as Check[]);
  }
  return scenarios;
}

/** They are listed at the end: `  ✓ tasks-lifecycle (extension)`. */
function unscoredIn(output: string): Set<string> {
  return new Set([...output.matchAll(/^ {2}[✓✗] (\S+) \([a-z-]+\)$/gm)].map(([, name]) => name!));
}
