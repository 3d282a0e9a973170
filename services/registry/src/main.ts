import { configFrom, runMain } from "@tollgate/service";
import { configSchema } from "./config.ts";
import { startRegistry } from "./service.ts";

runMain({
  name: "registry",
  readConfig: () => ({ ...configFrom(configSchema, process.env), env: { ...process.env } }),
  start: startRegistry,
});
