/**
 * A service as `runMain` runs it, for the tests to start and stop. TOLLGATE_BEHAVIOUR says what it does:
 * - `run`: starts and closes in two steps · `stuck`: a closing step does not end · `slow`: starts after 300 ms
 * - `hang`: never finishes starting · `fail`: does not start · `throw` and `reject`: breaks after it was ready
 */
import { z } from "zod";
import { configFrom, envSchema } from "../src/config.ts";
import { openLife } from "../src/life.ts";
import type { Log } from "../src/log.ts";
import { runMain, type Service } from "../src/main.ts";

const schema = z.object({
  logLevel: envSchema.logLevel,
  serviceKey: envSchema.serviceKey,
  databaseUrl: envSchema.url,
  behaviour: z.enum(["run", "stuck", "slow", "hang", "fail", "throw", "reject"]),
});

async function start(config: z.infer<typeof schema>, log: Log): Promise<Service> {
  const life = openLife(log);
  const working = setInterval(() => {}, 1_000);
  life.onClose("first", 500, () => (clearInterval(working), log.info("first closed")));
  life.onClose("last", 30_000, () => {
    log.info("last closed");
    return config.behaviour === "stuck" ? new Promise(() => {}) : undefined;
  });
  log.info({ token: "secret-1", config: { password: "secret-2" }, headers: { authorization: "secret-3" } }, "started");
  if (config.behaviour === "fail") throw new Error("the port is taken");
  if (config.behaviour === "hang") await new Promise(() => {});
  if (config.behaviour === "slow") await new Promise((resolve) => setTimeout(resolve, 300));
  if (config.behaviour === "throw") setTimeout(() => throwUncaught(), 50);
  if (config.behaviour === "reject") setTimeout(() => void Promise.reject(new Error("nobody waits")), 50);
  return { close: () => life.close() };
}

function throwUncaught(): never {
  throw new Error("nobody catches");
}

runMain({ name: "program", readConfig: () => configFrom(schema, process.env), start });
