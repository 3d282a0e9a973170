import { configFrom, runMain } from "@tollgate/service";
import { configSchema } from "./config.ts";
import { startAudit } from "./service.ts";

runMain({
  name: "audit",
  readConfig: () => ({ ...configFrom(configSchema, process.env), env: { ...process.env } }),
  start: startAudit,
});
