import { mkdtempSync } from "node:fs";
import { join } from "node:path";
import type { Log } from "@tollgate/service";
import { type Infrastructure, testLog } from "@tollgate/testkit";
import { configSchema } from "../src/config.ts";
import { type RunningRunner, startRunner } from "../src/service.ts";
import type { AssigningRegistry } from "./assigning-registry.ts";

/** A runner on the test's own streams, with servers from the test's registry. */
export function startTestRunner(options: {
  infra: Infrastructure;
  registry: AssigningRegistry;
  dir: string;
  settings?: Record<string, number>;
  log?: Log;
}): Promise<RunningRunner> {
  const { infra, registry, dir, settings = {}, log = testLog } = options;
  const config = configSchema.parse({
    serviceKey: infra.serviceKey,
    recordingKeys: infra.recordingKeys,
    httpPort: 0,
    natsUrl: infra.natsUrl,
    busPrefix: infra.busPrefix,
    registryAddress: registry.address,
    stateDir: mkdtempSync(join(dir, "state-")),
    // Also where it is installed: tests know server processes by their pids, which are others inside of a sandbox.
    bwrap: "none",
    ...settings,
  });
  return startRunner({ ...config, baseEnv: process.env }, log);
}
