import type { ContainedSpec } from "../src/containment/containment.ts";

type Parts = Partial<ContainedSpec["limits"]> & { readonly sandbox?: Partial<ContainedSpec["sandbox"]> };

/** A server that is held to nothing but these. */
export function containedSpec({ sandbox, ...limits }: Parts = {}): ContainedSpec {
  return {
    serverId: "held",
    type: "command",
    url: "",
    env: {},
    workingDir: "",
    limits: {
      memoryBytes: 0,
      cpuMillis: 0,
      openFiles: 0,
      processes: 0,
      outputBytes: 1024 * 1024,
      callTimeoutMs: 0,
      concurrency: 0,
      ...limits,
    },
    sandbox: { mode: "off", network: true, read: [], write: [], ...sandbox },
  };
}
