import { testLog } from "@tollgate/testkit";
import { afterAll } from "vitest";
import { type Containment, type ContainmentOptions, openContainment } from "../src/containment/containment.ts";

/** As a runner has it that finds no bubblewrap, unless its program is given. */
export function containmentIn(stateDir: string, options: Partial<ContainmentOptions> = {}): Promise<Containment> {
  return openContainment({
    stateDir,
    bwrap: "no-bwrap",
    hiddenFolders: [],
    baseEnv: process.env,
    log: testLog,
    ...options,
  });
}

/** For this test file. */
export async function useContainment(
  stateDir: string,
  options: Partial<ContainmentOptions> = {},
): Promise<Containment> {
  const containment = await containmentIn(stateDir, options);
  afterAll(() => containment.close());
  return containment;
}
