import { type Config, envSchema } from "@tollgate/service";
import { parseRecordingKeys } from "@tollgate/evidence";
import { z } from "zod";

const list = z
  .string()
  .default("")
  .transform((text) =>
    text
      .split(",")
      .map((each) => each.trim())
      .filter((each) => each !== ""),
  );

export const configSchema = z.object({
  logLevel: envSchema.logLevel,
  serviceKey: envSchema.serviceKey,
  /** `ID:KEY`, several separated by commas: calls' arguments and results are hashed and encrypted with the first one. */
  recordingKeys: z.string().transform((text, context) => {
    const keys = parseRecordingKeys(text);
    if (keys.ok) return keys.value;
    context.addIssue(keys.reason);
    return z.NEVER;
  }),
  host: envSchema.host,
  httpPort: envSchema.port(8083),
  natsUrl: envSchema.url,
  busPrefix: envSchema.busPrefix,
  registryAddress: envSchema.address("127.0.0.1:9082"),
  /** Separated by commas; empty means every group. */
  groups: list,
  /** Where installed servers and the list of running processes are kept. */
  stateDir: z.string().min(1).default(".tollgate/runner"),
  /** Bubblewrap's program: a path, or a name on PATH; "none": no sandboxes. */
  bwrap: z.string().min(1).default("bwrap"),
  /** The folder to make cgroups in; "auto": the runner's own one, "none": no cgroups. */
  cgroup: z.string().min(1).default("auto"),
  /** Separated by commas: folders that no sandbox shows, wherever they lie. The state folder is one anyway. */
  hiddenFolders: list,
  /** Of all servers; the one that was idle for longest makes room. Connections to remote servers are not counted. */
  processesMax: envSchema.positiveInt(256),
  /** Processes that start at the same time; one server has half of them at the most. */
  startsMax: envSchema.positiveInt(4),
  /** How long a server is taken to be of the era that it was last seen to be. */
  eraKnownMs: envSchema.positiveInt(3_600_000),
  /** Calls that wait for their clients' answers to a server's questions, and how long each may. */
  parkedMs: envSchema.positiveInt(600_000),
  parkedCallsMax: envSchema.positiveInt(256),
  parkedCallsPerTenantMax: envSchema.positiveInt(64),
  /** The longest line that a server may write. */
  responseMaxBytes: envSchema.positiveInt(6 * 1024 * 1024),
});

export type RunnerConfig = Config<typeof configSchema> & {
  /** This process's own environment: servers get a few harmless variables of it, never the whole. */
  readonly baseEnv: Readonly<Record<string, string | undefined>>;
};
