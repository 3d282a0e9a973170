import { parseArgs } from "node:util";
import { renderTable, startSharedServers } from "@tollgate/testkit";
import { FULL_MINUTES, scenariosFor } from "./scenarios.ts";
import { onStage } from "./stage.ts";

const { values } = parseArgs({
  options: {
    minutes: { type: "string", default: String(FULL_MINUTES) },
    scenario: { type: "string" },
  },
});
const minutes = Number(values.minutes);
const scenarios = scenariosFor(minutes);

process.exitCode = await run();

async function run(): Promise<number> {
  const names = values.scenario === undefined ? Object.keys(scenarios) : [values.scenario];
  if (!(minutes > 0) || names.some((name) => !Object.hasOwn(scenarios, name))) {
    process.stderr.write(`Usage: npm run soak -- [--minutes N] [--scenario ${Object.keys(scenarios).join("|")}]\n`);
    return 2;
  }
  const shared = await startSharedServers("embedded");
  let missed = 0;
  try {
    for (const name of names) {
      const { title, setting, play } = scenarios[name]!;
      const lines = await onStage(shared, setting, play);
      process.stdout.write(renderTable(`${name}: ${title}`, lines));
      missed += lines.filter(({ reached }) => reached === false).length;
    }
  } finally {
    await shared.stop();
  }
  process.stdout.write(missed === 0 ? "\nAll that must be reached is.\n" : `\n${missed} missed.\n`);
  return missed === 0 ? 0 : 1;
}
