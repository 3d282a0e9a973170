import { openLife } from "@tollgate/service";
import { eventually, testLog, useInfrastructure } from "@tollgate/testkit";
import type { registryV1 } from "@tollgate/contracts";
import { afterAll, beforeAll, expect } from "vitest";
import type { RunningRunner } from "../src/service.ts";
import { type AssigningRegistry, startRegistry } from "./assigning-registry.ts";
import { useTempDir } from "./temp-dir.ts";
import { startTestRunner } from "./test-runner.ts";
import { type CallOptions, type Traffic, useTraffic } from "./traffic.ts";

export interface RunnerFixture {
  readonly traffic: Traffic;
  readonly serviceKey: string;
  recordingKeys(this: void): string;
  registry(this: void): AssigningRegistry;
  startRunner(this: void, settings?: Record<string, number>): Promise<RunningRunner>;
  /** The JSON in the text of a tool's answer. */
  call(this: void, tool: string, options?: CallOptions): Promise<any>;
  /** The whole answer. */
  ask(this: void, tool: string, options?: CallOptions): Promise<any>;
}

/** One runner with these servers, and the gateway's side of its streams. */
export function useRunner(
  assignments: () => registryV1.Assignment[],
  settings: Record<string, number> = {},
): RunnerFixture {
  const infra = useInfrastructure();
  const dir = useTempDir();
  const traffic = useTraffic(infra);
  const life = openLife(testLog);
  const runners: RunningRunner[] = [];
  let registry: AssigningRegistry;

  async function startRunner(more: Record<string, number> = {}): Promise<RunningRunner> {
    const runner = await startTestRunner({ infra, registry, dir, settings: { ...settings, ...more } });
    runners.push(runner);
    return runner;
  }

  beforeAll(async () => {
    registry = await startRegistry({ serviceKey: infra.serviceKey, life });
    registry.assign(assignments());
    await startRunner();
    await eventually(() => expect(registry.reports.length).toBeGreaterThanOrEqual(assignments().length));
  });
  afterAll(async () => {
    await Promise.all(runners.map((runner) => runner.close()));
    await life.close();
  });

  const ask = async (tool: string, options?: CallOptions) => traffic.answer(await traffic.send(tool, options));
  return {
    traffic,
    get serviceKey() {
      return infra.serviceKey;
    },
    recordingKeys: () => infra.recordingKeys,
    registry: () => registry,
    startRunner,
    ask,
    call: async (tool, options) => JSON.parse((await ask(tool, options)).result.content[0].text),
  };
}
