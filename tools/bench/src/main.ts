import { parseArgs } from "node:util";
import { measureCalls } from "./calls.ts";
import { measureChanges } from "./changes.ts";
import { measureLists } from "./lists.ts";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    /** Seconds for each loop under load. */
    seconds: { type: "string", default: "8" },
    /** Of calls: a running installation's state folder instead of one of its own. */
    state: { type: "string" },
    /** Of calls: also writes the results to this file. */
    json: { type: "string" },
  },
});
const [what = "calls"] = positionals;
const durationMs = Number(values.seconds) * 1000;

process.exitCode = await run();

async function run(): Promise<number> {
  if (!(durationMs > 0)) return usage();
  switch (what) {
    case "calls":
      return measureCalls({ durationMs, stateDir: values.state, jsonFile: values.json });
    case "lists":
      return measureLists(durationMs);
    case "changes":
      return measureChanges();
    default:
      return usage();
  }
}

function usage(): number {
  process.stderr.write("Usage: npm run bench -- [calls|lists|changes] [--seconds N] [--state DIR] [--json FILE]\n");
  return 2;
}
