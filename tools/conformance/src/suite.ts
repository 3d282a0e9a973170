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

/** What is tried: a server at its URL, or the program of a client. */
export type Subject = { readonly url: string } | { readonly command: string };

/** Runs what the revision requires, and what the suite runs without counting it. */
export async function runSuite(subject: Subject, revision: Revision): Promise<SuiteRun> {
  const outputDir = await mkdtemp(join(tmpdir(), "tollgate-conformance-suite-"));
  try {
    const on = "url" in subject ? ["server", "--url", subject.url] : ["client", "--command", subject.command];
    const bounds = ["--timeout", String(SCENARIO_TIMEOUT_MS), "--output-dir", outputDir];
    const child = spawn(process.execPath, [SUITE, ...on, "--requirements", revision, ...bounds], {
      stdio: ["ignore", "pipe", "ignore"],
    });
    const timer = setTimeout(() => child.kill("SIGKILL"), RUN_TIMEOUT_MS);
    const [output, [, signal]] = await Promise.all([text(child.stdout), once(child, "exit")]);
    clearTimeout(timer);
    return { scenarios: await readChecks(outputDir), unscored: unscoredIn(output), timedOut: signal !== null };
  } finally {
    await rm(outputDir, { recursive: true, force: true });
  }
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
