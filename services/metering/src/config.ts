import { type Config, envSchema } from "@tollgate/service";
import { z } from "zod";

export const configSchema = z.object({
  logLevel: envSchema.logLevel,
  serviceKey: envSchema.serviceKey,
  host: envSchema.host,
  httpPort: envSchema.port(8085),
  grpcPort: envSchema.port(9085),
  natsUrl: envSchema.url,
  busPrefix: envSchema.busPrefix,
  databaseUrl: envSchema.url,
  /** Events that are stored as soon as they wait. */
  batchMax: envSchema.positiveInt(2_000),
  /** How long fewer than that wait for company. */
  batchWaitMs: envSchema.positiveInt(250),
  /** The user's tollgate.yaml; without one single calls are kept as long as they are by default. */
  configFile: z.string().default(""),
  /** How often it looks for calls that are not kept any longer. */
  retentionMs: envSchema.positiveInt(600_000),
  /** Messages on the stream not yet stored, past which the service says that it is not ready. */
  lagMax: envSchema.positiveInt(100_000),
});

export type MeteringConfig = Config<typeof configSchema>;
