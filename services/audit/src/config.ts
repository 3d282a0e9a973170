import { parseRecordingKeys } from "@tollgate/evidence";
import { type Config, envSchema } from "@tollgate/service";
import { z } from "zod";

export const configSchema = z.object({
  logLevel: envSchema.logLevel,
  serviceKey: envSchema.serviceKey,
  host: envSchema.host,
  httpPort: envSchema.port(8084),
  grpcPort: envSchema.port(9084),
  natsUrl: envSchema.url,
  busPrefix: envSchema.busPrefix,
  databaseUrl: envSchema.url,
  /** Seals the private keys that sign the record. */
  signingSecret: z.string().min(32, "has to be at least 32 characters long").max(256),
  /** `ID:KEY`, several separated by commas: what was kept of calls is decrypted with. Without them nobody can read it. */
  recordingKeys: z
    .string()
    .optional()
    .transform((text, context) => {
      if (text === undefined) return undefined;
      const keys = parseRecordingKeys(text);
      if (keys.ok) return keys.value;
      context.addIssue(keys.reason);
      return z.NEVER;
    }),
  /** The user's tollgate.yaml; without one nothing is exported. */
  configFile: z.string().default(""),
  /** Events that are stored as soon as they wait. */
  batchMax: envSchema.positiveInt(5_000),
  /** How long fewer than that wait for company. */
  batchWaitMs: envSchema.positiveInt(250),
  /** How long events of a segment that is not full wait to be signed. Half of the minute that is promised: a leader may change. */
  checkpointMs: envSchema.positiveInt(30_000),
  /** How often it looks for events whose time is over. */
  retentionMs: envSchema.positiveInt(600_000),
  /** Messages on the stream not yet stored, past which the service says that it is not ready. */
  lagMax: envSchema.positiveInt(100_000),
});

export interface AuditConfig extends Config<typeof configSchema> {
  /** What `${NAME}` in the user's file stands for. Holds secrets; the log hides a key of this name. */
  readonly env?: Readonly<Record<string, string | undefined>>;
}
