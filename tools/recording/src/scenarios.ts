import type { Line } from "@tollgate/testkit";
import { playFaults } from "./faults.ts";
import { playIngest } from "./ingest.ts";
import { playOutage } from "./outage.ts";
import { playQueries } from "./queries.ts";
import { onStage } from "./stage.ts";

export const USAGE = `Usage: npm run recording -- SCENARIO
  faults [--calls 50000] [--rate 300]      kill -9 of audit, metering, the database and NATS by chance, meanwhile calls
  outage [--seconds 300] [--rate 100]      the database is away under load
  ingest [--events 1000000] [--service audit|metering]
                                           how fast a backlog on the stream is brought into the database
  queries [--events 1000000]               how long pages of the record take
`;

/** All numbers are positive; `rate` is in calls per second. */
export interface ScenarioOptions {
  readonly calls: number;
  readonly seconds: number;
  readonly rate: number | undefined;
  readonly events: number;
  readonly service: "audit" | "metering";
}

const FAULTS_RATE = 300;
const OUTAGE_RATE = 100;

export const SCENARIOS: Readonly<Record<string, (options: ScenarioOptions) => Promise<Line[]>>> = {
  faults: ({ calls, rate }) => onStage((stage) => playFaults(stage, { total: calls, perSecond: rate ?? FAULTS_RATE })),
  outage: ({ seconds, rate }) =>
    onStage((stage) => playOutage(stage, { awayMs: seconds * 1_000, perSecond: rate ?? OUTAGE_RATE })),
  ingest: ({ service, events }) => playIngest({ service, events }),
  queries: ({ events }) => playQueries({ events }),
};
