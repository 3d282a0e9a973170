import { configFrom, runMain } from "@tollgate/service";
import { configSchema } from "./config.ts";
import { startRunner } from "./service.ts";

runMain({
  name: "runner",
  readConfig: () => ({ ...configFrom(configSchema, process.env), baseEnv: process.env }),
  start: startRunner,
});
