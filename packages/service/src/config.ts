import { z } from "zod";

/** Reads no environment itself: main.ts hands it over, so that every setting has one way in. */
export type Config<S extends z.ZodType> = Readonly<z.infer<S>>;

/**
 * The settings of an environment as one frozen object. The schema's keys are camelCase; `natsUrl` reads
 * `TOLLGATE_NATS_URL`. Every mistake is reported at once, each with its variable; values are never repeated, since
 * they may be secrets.
 */
export function configFrom<S extends z.ZodObject>(
  schema: S,
  env: Readonly<Record<string, string | undefined>>,
): Config<S> {
  const given: Record<string, string> = {};
  for (const key of Object.keys(schema.shape)) {
    const value = env[variableOf(key)];
    if (value !== undefined && value !== "") given[key] = value;
  }
  const parsed = schema.safeParse(given);
  if (parsed.success) return Object.freeze<Config<S>>(parsed.data);
  const lines = parsed.error.issues.map(({ path: [key], message }) => {
    // A rule over several settings names them itself.
    if (key === undefined) return `  ${message}`;
    const variable = variableOf(String(key));
    return Object.hasOwn(given, key) ? `  ${variable}: ${message}` : `  ${variable} is not set`;
  });
  throw new Error(`wrong configuration:\n${lines.join("\n")}`);
}

function variableOf(key: string): string {
  return `TOLLGATE_${key.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase()}`;
}

const port = (fallback: number) => z.coerce.number().int().min(0).max(65_535).default(fallback);

/** Building blocks for the services' own schemas. */
export const envSchema = {
  logLevel: z.enum(["fatal", "error", "warn", "info", "debug", "trace", "silent"]).default("info"),
  /** Shared by all services of one installation: they accept gRPC calls from each other only with it. */
  serviceKey: z.string().min(16, "has to be at least 16 characters long"),
  host: z.string().default("127.0.0.1"),
  port,
  /** One, or for NATS several separated by commas. */
  url: z
    .string()
    .refine((text) => URL.canParse(text) || text.split(",").every((each) => URL.canParse(each)), "is not a URL"),
  address: (fallback: string) =>
    z
      .string()
      .regex(/^[^\s:]+:\d+$/, "has to be host:port")
      .default(fallback),
  /** Prefixes every stream, subject and durable, so that installations can share one NATS. */
  busPrefix: z
    .string()
    .regex(/^[a-z0-9]{0,16}$/, "has to be up to 16 of a-z 0-9")
    .default(""),
  positiveInt: (fallback: number) => z.coerce.number().int().positive().default(fallback),
} as const;
