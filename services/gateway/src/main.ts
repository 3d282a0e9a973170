import { configFrom, runMain } from "@tollgate/service";
import { configSchema } from "./config.ts";
import { startGateway } from "./service.ts";

runMain({ name: "gateway", readConfig: () => configFrom(configSchema, process.env), start: startGateway });
