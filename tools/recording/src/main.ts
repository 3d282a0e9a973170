import { parseArgs } from "node:util";
import { renderTable } from "@tollgate/testkit";
import { SCENARIOS, USAGE } from "./scenarios.ts";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    calls: { type: "string", default: "50000" },
    seconds: { type: "string", default: "300" },
    rate: { type: "string" },
    events: { type: "string", default: "1000000" },
    service: { type: "string", default: "audit" },
  },
});

process.exitCode = await run();

async function run(): Promise<number> {
  const [name = "", ...more] = positionals;
  const { calls, seconds, events, service } = values;
  const rate = values.rate === undefined ? undefined : Number(values.rate);
  const numbers = { calls: Number(calls), seconds: Number(seconds), events: Number(events) };
  const areRight = [...Object.values(numbers), rate ?? 1].every((each) => each > 0);
  const isKnown = more.length === 0 && Object.hasOwn(SCENARIOS, name) && /^(?:audit|metering)$/.test(service);
  if (!areRight || !isKnown) {
    process.stderr.write(USAGE);
    return 2;
  }
  const lines = await SCENARIOS[name]!({ ...numbers, rate, service: service as "audit" | "metering" });
  process.stdout.write(renderTable(name, lines));
  return lines.every(({ reached }) => reached !== false) ? 0 : 1;
}
