import { join } from "node:path";
import { startAuthorizingProxy } from "./authorizing-proxy.ts";
import { type FixtureProcess, startFixture } from "./fixture-process.ts";
import { routeOf, startInstallation } from "./installation.ts";
import type { Row } from "./report.ts";
import { type Revision, runClientSuite, runServerSuite, type SuiteRun } from "./suite.ts";
import { countChecks, countScenarios, failures, scoredScenarios, shortfalls } from "./verdict.ts";

/** The client that the suite tries: the runner's way to a remote server. */
const UPSTREAM_CLIENT = join(import.meta.dirname, "../../../services/runner/test/upstream-client.ts");
/** Servers are reached with static headers: the runner does not sign in anywhere. */
const NOT_OFFERED = "auth/";

export const PARTS = ["direct", "stdio", "http", "bridge", "client"] as const;
export type Part = (typeof PARTS)[number];

export interface ConformanceOptions {
  readonly parts: readonly Part[];
  readonly revisions: readonly Revision[];
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

  const kinds = (["stdio", "http", "bridge"] as const).filter((kind) => options.parts.includes(kind));
  if (kinds.length > 0) {
    const httpUrls = { legacy: fixtures.legacy.url, modern: fixtures.modern.url };
    const installation = await keep(startInstallation({ httpUrls, withBridges: kinds.includes("bridge") }));
    const proxy = await keep(startAuthorizingProxy(installation.gatewayUrl, installation.token));
    for (const kind of kinds)
      for (const [revision, expected] of direct)
        for (const era of ["legacy", "modern"] as const) {
          const target = `conformance-${kind}-${era}`;
          await runThrough(proxy.url + routeOf(target), { target, era, revision, expected }, options);
        }
  }
  if (options.parts.includes("client")) for (const revision of options.revisions) await runClient(revision, options);
}

async function runDirect(
  fixtures: Readonly<Record<"legacy" | "modern", FixtureProcess>>,
  revision: Revision,
  { onRow, parts }: ConformanceOptions,
): Promise<SuiteRun> {
  const { run, seconds } = await timed(() => runServerSuite(fixtures[ERA_OF[revision]].url, revision));
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
  url: string,
  compared: { target: string; era: "legacy" | "modern"; revision: Revision; expected: SuiteRun },
  { onRow }: ConformanceOptions,
): Promise<void> {
  const { target, era, revision, expected } = compared;
  const { run, seconds } = await timed(() => runServerSuite(url, revision));
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
async function runClient(revision: Revision, { onRow }: ConformanceOptions): Promise<void> {
  const command = `${process.execPath} ${UPSTREAM_CLIENT}`;
  const { run, seconds } = await timed(() => runClientSuite({ command, revision, without: NOT_OFFERED }));
  const scenarios = countScenarios(run, scoredScenarios(run));
  const target = `upstream client (${run.left.length} of ${NOT_OFFERED}* not offered)`;
  const row = { revision, target, binding: true, scenarios, checks: countChecks(run), seconds };
  onRow({ ...row, shortfalls: failures(run), timedOut: run.timedOut });
}

async function timed<T>(work: () => Promise<T>): Promise<{ run: T; seconds: number }> {
  const since = performance.now();
  const run = await work();
  return { run, seconds: (performance.now() - since) / 1000 };
}
