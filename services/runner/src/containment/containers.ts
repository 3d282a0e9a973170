import { execFile } from "node:child_process";
import type { Log } from "@tollgate/service";

const REMOVE_TIMEOUT_MS = 10_000;
/** What an engine's client is told about where its engine is, and where it keeps things. */
const FOR_CLIENT = /^(?:(?:DOCKER|CONTAINERS?|PODMAN|XDG)_\w+|HOME|PATH|TMPDIR)$/;

/** A container, and the program that it was started with. */
export interface ContainerRef {
  readonly engine: string;
  readonly name: string;
}

export interface ContainerRemover {
  /** In the background; one that is gone is no error. */
  remove(container: ContainerRef): void;
  idle(): Promise<void>;
}

/** Containers outlive their clients, which are all that a signal reaches. */
export function createContainerRemover(options: {
  baseEnv: Readonly<Record<string, string | undefined>>;
  log: Log;
}): ContainerRemover {
  const { baseEnv, log } = options;
  const env = Object.fromEntries(Object.entries(baseEnv).filter(([name]) => FOR_CLIENT.test(name)));
  const under = new Set<Promise<void>>();

  function run({ engine, name }: ContainerRef): Promise<void> {
    return new Promise((resolve) => {
      execFile(engine, ["rm", "--force", name], { env, timeout: REMOVE_TIMEOUT_MS }, (error, _stdout, stderr) => {
        if (error && !/no such container/i.test(stderr))
          log.warn({ container: name, reason: stderr.trim() }, "a container was not removed");
        resolve();
      });
    });
  }

  return {
    remove(container) {
      const removal = run(container).finally(() => under.delete(removal));
      under.add(removal);
    },
    async idle() {
      await Promise.all(under);
    },
  };
}
