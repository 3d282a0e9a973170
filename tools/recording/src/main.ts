import { parseArgs } from "node:util";
import { type Line, renderTable } from "@tollgate/testkit";
import { playFaults } from "./faults.ts";
import { playIngest, type Recorder } from "./ingest.ts";
import { playOutage } from "./outage.ts";
import { playQueries } from "./queries.ts";
import { onStage } from "./stage.ts";

const USAGE = `Usage: npm run recording -- SCENARIO
  faults [--calls 50000] [--rate 300]      kill -9 of audit, metering, the database and NATS by chance, meanwhile calls
  outage [--seconds 300] [--rate 100]      the database is away under load
  ingest [--events 1000000] [--service audit|metering]
                                           how fast a backlog on the stream is brought into the database
  queries [--events 1000000]               how long pages of the record take
`;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    calls: { type: "string", default: "50000" },
    seconds: { type: "string", default: "300" },
    /** Calls per second. */
    rate: { type: "string" },
    events: { type: "string", default: "1000000" },
    service: { type: "string", default: "audit" },
  },
});

const SCENARIOS: Readonly<Record<string, () => Promise<Line[]>>> = {
  faults: () =>
    onStage((stage) => playFaults(stage, { total: positive(values.calls), perSecond: positive(values.rate ?? "300") })),
  outage: () =>
    onStage((stage) =>
      playOutage(stage, { awayMs: positive(values.seconds) * 1_000, perSecond: positive(values.rate ?? "100") }),
    ),
  queries: () => playQueries({ events: positive(values.events) }),
  ingest: () => playIngest({ service: recorderOf(values.service), events: positive(values.events) }),
};

process.exitCode = await run();

async function run(): Promise<number> {
  const [name = "", ...more] = positionals;
  const scenario = more.length === 0 && Object.hasOwn(SCENARIOS, name) ? SCENARIOS[name] : undefined;
  if (scenario === undefined) {
    process.stderr.write(USAGE);
    return 2;
  }
  const lines = await scenario();
  process.stdout.write(renderTable(name, lines));
  return lines.every(({ reached }) => reached !== false) ? 0 : 1;
}

function recorderOf(text: string): Recorder {
  return text === "audit" || text === "metering" ? text : refuse();
}

function positive(text: string): number {
  const number = Number(text);
  return number > 0 ? number : refuse();
}

function refuse(): never {
  process.stderr.write(USAGE);
  process.exit(2);
}
