import { type Config, envSchema } from "@tollgate/service";
import { z } from "zod";

export const configSchema = z.object({
  logLevel: envSchema.logLevel,
  serviceKey: envSchema.serviceKey,
  host: envSchema.host,
  httpPort: envSchema.port(8081),
  grpcPort: envSchema.port(9081),
  databaseUrl: envSchema.url,
  /** Where the events of changes go. */
  natsUrl: envSchema.url,
  busPrefix: envSchema.busPrefix,
  /** The user's tollgate.yaml. */
  configFile: z.string(),
  /** MeteringService, which knows what was spent; empty: nothing that has a budget is let in. */
  meteringAddress: z.string().default(""),
});

export interface PolicyConfig extends Config<typeof configSchema> {
  /** What `${NAME}` in the file may name. Holds secrets. */
  readonly env: Readonly<Record<string, string | undefined>>;
}
