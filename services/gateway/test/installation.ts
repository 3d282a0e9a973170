import { openLife } from "@tollgate/service";
import { eventually, testLog, useInfrastructure } from "@tollgate/testkit";
import { afterAll, beforeAll, beforeEach, expect } from "vitest";
import { type AnsweringRunner, startRunner } from "./answering-runner.ts";
import { principal } from "./controlled-policy.ts";
import { startSurroundings, type Surroundings } from "./running-gateway.ts";
import { manyServers } from "./sample-catalogue.ts";

type Settings = Parameters<Surroundings["startGateway"]>[0];

/** Gateways with the sample servers behind them, and a runner in the test's hands. */
export interface Installation {
  readonly around: Surroundings;
  readonly runner: AnsweringRunner;
  readonly serviceKey: string;
  /** Where a replica listens, with a path. */
  url(path?: string, replica?: number): string;
  port(replica?: number): number;
  /** One more gateway, that the test may stop. */
  startReplica(this: void, settings?: Settings): Promise<{ replica: number; close: () => Promise<void> }>;
}

export function useInstallation(options: { replicas?: number; settings?: Settings } = {}): Installation {
  const infra = useInfrastructure();
  const life = openLife(testLog);
  const ports: number[] = [];
  let around: Surroundings;
  let runner: AnsweringRunner;

  async function startReplica(settings: Settings = options.settings) {
    const { httpPort, close } = await around.startGateway(settings);
    await eventually(async () => expect((await fetch(`http://127.0.0.1:${httpPort}/readyz`)).status).toBe(200));
    return { replica: ports.push(httpPort) - 1, close };
  }

  beforeAll(async () => {
    around = await startSurroundings(infra, life);
    around.policy.tokens.set("colleague-token", principal({ id: "colleague" }));
    around.setServers(manyServers());
    runner = await startRunner(infra, { group: "demo", life });
    for (let at = 0; at < (options.replicas ?? 1); at++) await startReplica();
  });
  afterAll(() => life.close());
  beforeEach(() => {
    for (const list of [runner.calls, runner.bound, runner.cancelled, runner.answers, runner.interests])
      list.length = 0;
    runner.onCall = (call) => runner.answer(call);
    around.policy.allow = () => true;
  });

  return {
    get around() {
      return around;
    },
    get runner() {
      return runner;
    },
    serviceKey: infra.serviceKey,
    url: (path = "/mcp", replica = 0) => `http://127.0.0.1:${ports[replica]}${path}`,
    port: (replica = 0) => ports[replica]!,
    startReplica,
  };
}
