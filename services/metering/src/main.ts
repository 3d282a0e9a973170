import { configFrom, runMain } from "@tollgate/service";
import { configSchema } from "./config.ts";
import { startMetering } from "./service.ts";

runMain({ name: "metering", readConfig: () => configFrom(configSchema, process.env), start: startMetering });
