import { configFrom, runMain } from "@tollgate/service";
import { configSchema } from "./config.ts";
import { startPolicy } from "./service.ts";

runMain({
  name: "policy",
  readConfig: () => ({ ...configFrom(configSchema, process.env), env: process.env }),
  start: startPolicy,
});
