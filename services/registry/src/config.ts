import { type Config, envSchema } from "@tollgate/service";
import { parseKeyList } from "@tollgate/evidence";
import { z } from "zod";

export const configSchema = z.object({
  logLevel: envSchema.logLevel,
  serviceKey: envSchema.serviceKey,
  host: envSchema.host,
  httpPort: envSchema.port(8082),
  grpcPort: envSchema.port(9082),
  databaseUrl: envSchema.url,
  /** Where the events of changes go. */
  natsUrl: envSchema.url,
  busPrefix: envSchema.busPrefix,
  /** The user's tollgate.yaml. */
  configFile: z.string(),
  /** `ID:KEY`, several separated by commas, the newest first: what is secret in the database is wrapped with them. */
  secretKeys: z
    .string()
    .optional()
    .transform((text, context) => {
      if (text === undefined) return undefined;
      const keys = parseKeyList(text);
      if (keys.ok) return keys.value;
      context.addIssue(keys.reason);
      return z.NEVER;
    }),
});

export interface RegistryConfig extends Config<typeof configSchema> {
  /** What `${NAME}` in the user's file stands for. Holds secrets; the log hides a key of this name. */
  readonly env: Readonly<Record<string, string | undefined>>;
}
