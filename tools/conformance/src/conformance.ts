import { startAuthorizingProxy } from "./authorizing-proxy.ts";
import { type FixtureProcess, startFixture } from "./fixture-process.ts";
import { routeOf, startInstallation } from "./installation.ts";
import type { Row } from "./report.ts";
import { type Revision, runSuite, type Subject, type SuiteRun } from "./suite.ts";
import { countChecks, countScenarios, failures, scoredScenarios, shortfalls } from "./verdict.ts";

export const PARTS = ["direct", "stdio", "http", "client"] as const;
export type Part = (typeof PARTS)[number];

export interface ConformanceOptions {
  readonly parts: readonly Part[];
  readonly revisions: readonly Revision[];
  /** The client under test; see the README. */
  readonly clientCommand: string | undefined;
  readonly onRow: (row: Row) => void;
}

const ERA_OF: Readonly<Record<Revision, "legacy" | "modern">> = {
  "2025-11-25": "legacy",
  "2026-07-28": "modern",
};

/** Runs the suite against the server itself, then through the gateway, and compares. */
export async function runConformance(options: ConformanceOptions): Promise<void> {
  await using resources = new AsyncDisposableStack();
  const keep = async <T extends { stop: () => Promise<void> }>(started: Promise<T>): Promise<T> =>
    resources.adopt(await started, (each) => each.stop());
  const fixtures = {
    legacy: await keep(startFixture("--era", "legacy", "--transport", "http")),
    modern: await keep(startFixture("--era", "modern", "--transport", "http")),
  };
  const direct = new Map<Revision, SuiteRun>();
  for (const revision of options.revisions) direct.set(revision, await runDirect(fixtures, revision, options));

  const kinds = (["stdio", "http"] as const).filter((kind) => options.parts.includes(kind));
  if (kinds.length > 0) {
    const urls = { legacy: fixtures.legacy.url, modern: fixtures.modern.url };
    const installation = await keep(startInstallation(urls));
    const proxy = await keep(startAuthorizingProxy(installation.gatewayUrl, installation.token));
    for (const kind of kinds)
      for (const [revision, expected] of direct)
        for (const era of ["legacy", "modern"] as const) {
          const target = `conformance-${kind}-${era}`;
          await runThrough({ url: proxy.url + routeOf(target) }, { target, era, revision, expected }, options);
        }
  }
  if (options.parts.includes("client") && options.clientCommand !== undefined)
    for (const revision of options.revisions) await runClient(options.clientCommand, revision, options);
}

async function runDirect(
  fixtures: Readonly<Record<"legacy" | "modern", FixtureProcess>>,
  revision: Revision,
  { onRow, parts }: ConformanceOptions,
): Promise<SuiteRun> {
  const { run, seconds } = await timed({ url: fixtures[ERA_OF[revision]].url }, revision);
  const scenarios = countScenarios(run, scoredScenarios(run));
  const row = { revision, target: "direct", binding: true, scenarios, checks: countChecks(run), seconds };
  if (parts.includes("direct")) onRow({ ...row, shortfalls: failures(run), timedOut: run.timedOut });
  return run;
}

/**
 * Where client and server speak the same era, nothing may be lost on the way. Where the gateway translates, some of what
 * the suite looks at cannot be the same, such as the keys of input requests that an older server never named: those rows
 * are shown and decide nothing.
 */
async function runThrough(
  subject: Subject,
  compared: { target: string; era: "legacy" | "modern"; revision: Revision; expected: SuiteRun },
  { onRow }: ConformanceOptions,
): Promise<void> {
  const { target, era, revision, expected } = compared;
  const { run, seconds } = await timed(subject, revision);
  onRow({
    revision,
    target,
    binding: ERA_OF[revision] === era,
    scenarios: countScenarios(run, scoredScenarios(expected)),
    checks: countChecks(run),
    shortfalls: shortfalls(expected, run),
    timedOut: run.timedOut,
    seconds,
  });
}

/** The suite plays the server, and the upstream side is its client; there is nothing to compare with. */
async function runClient(command: string, revision: Revision, { onRow }: ConformanceOptions): Promise<void> {
  const { run, seconds } = await timed({ command }, revision);
  const scenarios = countScenarios(run, scoredScenarios(run));
  const row = { revision, target: "upstream client", binding: true, scenarios, checks: countChecks(run), seconds };
  onRow({ ...row, shortfalls: failures(run), timedOut: run.timedOut });
}

async function timed(subject: Subject, revision: Revision): Promise<{ run: SuiteRun; seconds: number }> {
  const since = performance.now();
  const run = await runSuite(subject, revision);
  return { run, seconds: (performance.now() - since) / 1000 };
}
