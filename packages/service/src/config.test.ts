import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { z } from "zod";
import { configFrom, envSchema } from "./config.ts";

const schema = z.object({
  logLevel: envSchema.logLevel,
  serviceKey: envSchema.serviceKey,
  host: envSchema.host,
  httpPort: envSchema.port(8080),
  natsUrl: envSchema.url,
  databaseUrl: envSchema.url,
  policyAddress: envSchema.address("127.0.0.1:9081"),
  busPrefix: envSchema.busPrefix,
  callsMax: envSchema.positiveInt(100),
});

const NEEDED = {
  TOLLGATE_SERVICE_KEY: "0123456789abcdef",
  TOLLGATE_NATS_URL: "nats://tollgate:pw@127.0.0.1:4222",
  TOLLGATE_DATABASE_URL: "postgres://tollgate_audit:pw@127.0.0.1:5432/tollgate",
};

function mistakesIn(env: Record<string, string | undefined>): string[] {
  try {
    configFrom(schema, env);
  } catch (error) {
    return (error as Error).message.split("\n");
  }
  return [];
}

describe("configuration from the environment", () => {
  it("is whole with what has no default", () => {
    expect(configFrom(schema, NEEDED)).toEqual({
      logLevel: "info",
      serviceKey: NEEDED.TOLLGATE_SERVICE_KEY,
      host: "127.0.0.1",
      httpPort: 8080,
      natsUrl: NEEDED.TOLLGATE_NATS_URL,
      databaseUrl: NEEDED.TOLLGATE_DATABASE_URL,
      policyAddress: "127.0.0.1:9081",
      busPrefix: "",
      callsMax: 100,
    });
  });

  it("reads numbers, and leaves what is not a setting alone", () => {
    const config = configFrom(schema, { ...NEEDED, TOLLGATE_HTTP_PORT: "0", TOLLGATE_CALLS_MAX: "5", HOME: "x" });
    expect(config).toMatchObject({ httpPort: 0, callsMax: 5 });
    expect(config).not.toHaveProperty("home");
  });

  it("cannot be changed afterwards", () => {
    const config = configFrom(schema, NEEDED) as { httpPort: number };
    expect(() => (config.httpPort = 1)).toThrow(TypeError);
  });

  it("takes an empty variable for one that is not set", () => {
    expect(configFrom(schema, { ...NEEDED, TOLLGATE_HTTP_PORT: "" }).httpPort).toBe(8080);
    expect(mistakesIn({ ...NEEDED, TOLLGATE_SERVICE_KEY: "" })).toContain("  TOLLGATE_SERVICE_KEY is not set");
  });

  it("is refused with every mistake at once, each with its variable", () => {
    const wrong = {
      TOLLGATE_LOG_LEVEL: "loud",
      TOLLGATE_SERVICE_KEY: "short",
      TOLLGATE_HTTP_PORT: "65536",
      TOLLGATE_NATS_URL: "not a url",
      TOLLGATE_POLICY_ADDRESS: "http://policy:9081",
      TOLLGATE_BUS_PREFIX: "a.b",
      TOLLGATE_CALLS_MAX: "-1",
    };
    const lines = mistakesIn(wrong);
    expect(lines[0]).toBe("wrong configuration:");
    const named = lines.slice(1).map((line) => /^ {2}(TOLLGATE_\w+)/.exec(line)?.[1]);
    expect(new Set(named)).toEqual(new Set([...Object.keys(wrong), "TOLLGATE_DATABASE_URL"]));
    expect(lines).toContain("  TOLLGATE_DATABASE_URL is not set");
    expect(lines.find((line) => line.includes("SERVICE_KEY"))).toContain("at least 16 characters");
  });

  it("is never repeated in what is said about it", () => {
    fc.assert(
      fc.property(fc.string({ minLength: 5, unit: fc.constantFrom("§", "°", "¶", "µ", "!") }), (value) => {
        const env = Object.fromEntries(Object.keys(schema.shape).map((key) => [variableOf(key), value]));
        const said = mistakesIn(env).join("\n");
        expect(said).not.toBe("");
        expect(said).not.toContain(value);
      }),
    );
  });

  it("says what a rule over several settings says", () => {
    const pair = z
      .object({ min: envSchema.positiveInt(1), max: envSchema.positiveInt(2) })
      .refine(({ min, max }) => min <= max, "TOLLGATE_MIN has to be at most TOLLGATE_MAX");
    expect(() => configFrom(pair, { TOLLGATE_MIN: "3" })).toThrow(
      "wrong configuration:\n  TOLLGATE_MIN has to be at most TOLLGATE_MAX",
    );
  });

  it("may name several NATS servers", () => {
    const natsUrl = "nats://tollgate:pw@one:4222,nats://tollgate:pw@two:4222";
    expect(configFrom(schema, { ...NEEDED, TOLLGATE_NATS_URL: natsUrl }).natsUrl).toBe(natsUrl);
    expect(mistakesIn({ ...NEEDED, TOLLGATE_NATS_URL: "nats://one:4222,two" })).not.toEqual([]);
  });

  it("may have a comma in a password", () => {
    const databaseUrl = "postgres://tollgate_audit:a,b@127.0.0.1:5432/tollgate";
    expect(configFrom(schema, { ...NEEDED, TOLLGATE_DATABASE_URL: databaseUrl }).databaseUrl).toBe(databaseUrl);
  });
});

function variableOf(key: string): string {
  return `TOLLGATE_${key.replaceAll(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase()}`;
}
